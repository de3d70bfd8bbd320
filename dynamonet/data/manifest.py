"""The manifest: one row per listed video, joined with what is on the disk and checked by full decoding."""

import hashlib
import json
import multiprocessing
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dynamonet.data.listing import ListedVideo, Listing, read_listing
from dynamonet.data.sampling import key_digest
from dynamonet.errors import UserError
from dynamonet.files import atomic_path, canonical_json, sha256_file

METADATA_KEY = b"dynamonet"
MESSAGE_FILES = 3
"""Unusable files that an error names."""

Progress = Callable[[int, int], None]
"""Called with (videos done, videos in all)."""


class Manifest:
    """A prepared data set. `rows` has the columns id, path, class_index (-1: unlabelled), split_1...
    ("train", "test" or ""), frames, width, height, fps, bytes, sha256, status ("ok", "missing" or
    "undecodable") and reason.
    """

    def __init__(self, rows: pd.DataFrame, layout: str, root: Path, classes: tuple[str, ...]):
        self.rows, self.layout, self.root, self.classes = rows, layout, Path(root), classes

    @classmethod
    def load(cls, path: Path) -> "Manifest":
        """Raises UserError for a file that `prepare` did not write."""
        try:
            table = pq.read_table(path)
            about = json.loads(table.schema.metadata[METADATA_KEY])
        except (OSError, KeyError, TypeError, pa.ArrowInvalid):
            raise UserError(f"{path} is missing or not a manifest; run `dynamonet prepare`.") from None
        return cls(table.to_pandas(), about["layout"], Path(about["root"]), tuple(about["classes"]))

    def save(self, path: Path) -> None:
        about = dict(layout=self.layout, root=str(self.root), classes=self.classes)
        table = pa.Table.from_pandas(self.rows, preserve_index=False)
        with atomic_path(path) as temporary:
            pq.write_table(table.replace_schema_metadata({METADATA_KEY: canonical_json(about)}), temporary)

    @property
    def splits(self) -> tuple[int, ...]:
        return tuple(int(name.removeprefix("split_")) for name in self.rows if name.startswith("split_"))

    @cached_property
    def sha256(self) -> str:
        """Identifies the data: classes, ids, parts, frame counts and file contents; not where they lie."""
        digest = hashlib.sha256(canonical_json(self.classes).encode())
        splits = [f"split_{split}" for split in self.splits]
        for name in ("id", "class_index", *splits, "frames", "sha256", "status"):
            digest.update(f"\0{name}\0".encode())
            digest.update("\n".join(map(str, self.rows[name].tolist())).encode())
        return digest.hexdigest()

    def select(self, split: int, part: str, label_fraction: float = 1.0, seed: int = 0) -> pd.DataFrame:
        """Usable rows of one part, in manifest order.

        `label_fraction` keeps ceil(fraction * n) videos of each class, the first of an order given by
        (seed, id): a smaller fraction is a subset of a larger one. Raises UserError for a split the data
        set has not, and for a part without usable videos.
        """
        rows = self._part(split, part)
        rows = rows[rows["status"] == "ok"]
        if rows.empty:
            raise UserError(f"Split {split} of {self.root} has no usable {part} video; check its files.")
        if not 0 < label_fraction <= 1:
            raise UserError(f"label_fraction is {label_fraction}; give a number above 0 and up to 1.")
        if label_fraction < 1:
            keys = [key_digest(seed, video_id) for video_id in rows["id"]]
            ranks = pd.Series(keys, index=rows.index).groupby(rows["class_index"]).rank(method="first")
            sizes = rows.groupby("class_index")["id"].transform("size")
            # Rounded first: 0.1 * 30 is a little more than 3.
            rows = rows[ranks <= np.ceil((label_fraction * sizes).round(9))]
        return rows.reset_index(drop=True)

    def excluded(self, split: int, part: str) -> pd.DataFrame:
        """Rows of one part that are listed but unusable, with status and reason."""
        rows = self._part(split, part)
        return rows[rows["status"] != "ok"].reset_index(drop=True)

    def _part(self, split: int, part: str) -> pd.DataFrame:
        if split not in self.splits:
            splits = ", ".join(map(str, self.splits))
            raise UserError(f"Data set {self.root} has no split {split}; use one of {splits}.")
        return self.rows[self.rows[f"split_{split}"] == part]


def prepare(
    layout: str,
    root: Path,
    out: Path,
    *,
    max_unusable: int = 0,
    workers: int = 1,
    progress: Progress | None = None,
) -> dict:
    """Decode every listed video, write the manifest to `out` and return its counts.

    Raises UserError, and writes nothing, if more than `max_unusable` listed videos are missing or do not
    decode, or if a class is left without a usable training or test video.
    """
    root = Path(root).resolve()
    listing = read_listing(layout, root)
    checks = _check_all([root / video.path for video in listing.videos], workers, progress)
    manifest = Manifest(_rows(listing, checks), layout, root, listing.classes)
    _refuse_unusable(manifest, max_unusable)
    _refuse_empty_classes(manifest)
    manifest.save(out)
    return _counts(manifest)


def _check_all(paths: list[Path], workers: int, progress: Progress | None) -> list[dict]:
    if workers == 1:
        return _reported(map(_check, paths), len(paths), progress)
    # "spawn": forking a process that runs threads can deadlock.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        return _reported(pool.map(_check, paths, chunksize=8), len(paths), progress)


def _reported(checks: Iterable[dict], total: int, progress: Progress | None) -> list[dict]:
    done = []
    for check in checks:
        done.append(check)
        if progress:
            progress(len(done), total)
    return done


def _check(path: Path) -> dict:
    """What the disk says of one video, as manifest columns."""
    # Loads the decoder, which reading a manifest does not need.
    from dynamonet.data.video import VideoError, probe

    check = dict(frames=0, width=0, height=0, fps=0.0, bytes=0, sha256="", status="ok", reason="")
    if not path.is_file():
        return check | dict(status="missing", reason="there is no such file")
    try:
        check |= dict(bytes=path.stat().st_size, sha256=sha256_file(path))
        return check | vars(probe(path))
    except VideoError as error:
        return check | dict(status="undecodable", reason=error.reason)
    except OSError as error:
        return check | dict(status="undecodable", reason=f"cannot be read ({error.strerror})")


def _rows(listing: Listing, checks: list[dict]) -> pd.DataFrame:
    class_indices = {name: index for index, name in enumerate(listing.classes)}
    about = map(partial(_listed_columns, class_indices, listing.splits), listing.videos)
    return pd.DataFrame([listed | check for listed, check in zip(about, checks, strict=True)])


def _listed_columns(class_indices: dict[str, int], splits: tuple[int, ...], video: ListedVideo) -> dict:
    columns = dict(id=video.id, path=video.path, class_index=class_indices.get(video.class_name, -1))
    return columns | {f"split_{split}": video.parts.get(split, "") for split in splits}


def _refuse_unusable(manifest: Manifest, max_unusable: int) -> None:
    unusable = manifest.rows[manifest.rows["status"] != "ok"]
    if len(unusable) > max_unusable:
        named = "; ".join(f"{row.path}: {row.reason}" for row in unusable.head(MESSAGE_FILES).itertuples())
        rest = f"; and {len(unusable) - MESSAGE_FILES} more" if len(unusable) > MESSAGE_FILES else ""
        raise UserError(
            f"{len(unusable)} of {len(manifest.rows)} listed videos under {manifest.root} are unusable"
            f" ({named}{rest}); replace them or raise max_unusable, which is {max_unusable}."
        )


def _refuse_empty_classes(manifest: Manifest) -> None:
    usable = manifest.rows[manifest.rows["status"] == "ok"]
    if usable.empty:
        raise UserError(f"Data set {manifest.root} has no usable video; check that its files are unpacked.")
    for split in manifest.splits:
        for part, name in (("train", "training"), ("test", "test")):
            present = set(usable.loc[usable[f"split_{split}"] == part, "class_index"])
            if not present:
                raise UserError(
                    f"None of the {len(usable)} usable videos of {manifest.root} is a {name} video of split {split};"
                    " add more."
                )
            for class_index in sorted(set(range(len(manifest.classes))) - present):
                raise UserError(
                    f"Class {manifest.classes[class_index]!r} has no usable {name} video in split {split} of"
                    f" {manifest.root}; add its files."
                )


def _counts(manifest: Manifest) -> dict:
    rows = manifest.rows
    unusable = rows.loc[rows["status"] != "ok", ["id", "path", "reason"]]
    usable = rows[rows["status"] == "ok"]
    return dict(
        listed=len(rows),
        found=int((rows["status"] != "missing").sum()),
        decodable=len(usable),
        classes=len(manifest.classes),
        splits={
            str(split): {part: int((usable[f"split_{split}"] == part).sum()) for part in ("train", "test")}
            for split in manifest.splits
        },
        frames=int(usable["frames"].sum()),
        bytes=int(usable["bytes"].sum()),
        unusable=unusable.to_dict("records"),
        manifest_sha256=manifest.sha256,
    )
