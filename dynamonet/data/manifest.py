"""The manifest: one row per listed video, joined with what is on the disk and checked by full decoding."""

import hashlib
import json
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dynamonet.data.copy_recipe import CopyRecipe
from dynamonet.data.sampling import key_digest
from dynamonet.errors import UserError
from dynamonet.files import atomic_path, canonical_json

METADATA_KEY = b"dynamonet"

LISTED_COLUMNS = ("id", "path", "class_index", "group")
"""Before the columns split_1 and so on."""
CHECKED_COLUMNS = (
    *("frames", "width", "height", "fps", "duration_s", "first_pts", "pts_step", "bytes", "sha256"),
    *("status", "reason", "file", "file_bytes", "file_sha256"),
)


class Manifest:
    """A prepared data set. `rows` has the columns

    - id, path (relative to `root`), class_index (-1: unlabelled), group (of videos that must not be divided between
      training and test; "": none), split_1... ("train", "test" or ""): what the lists say;
    - bytes, sha256, fps, duration_s: of the listed file; fps from its header, the duration from its time stamps where
      each is later than the one before, else frames / fps;
    - status: "ok", "missing", "undecodable", or "duplicate" for a training video whose content is that of a test
      video of the same split; reason: why it is not "ok";
    - file (relative to `files_root`), file_bytes, file_sha256, frames, width, height (pixels, upright), first_pts,
      pts_step (frame n is shown at first_pts + n * pts_step, in the stream's time base; 0: not known to be regular):
      the file that is read, which is the listed one or, if `copies` is not None, its prepared copy.
    """

    def __init__(
        self,
        rows: pd.DataFrame,
        layout: str,
        root: Path,
        classes: tuple[str, ...],
        files_root: Path | None = None,
        copies: CopyRecipe | None = None,
    ):
        self.rows, self.layout, self.root, self.classes = rows, layout, Path(root), classes
        self.files_root = self.root if files_root is None else Path(files_root)
        self.copies = copies

    @classmethod
    def load(cls, path: Path) -> "Manifest":
        """Raises UserError for a file that `prepare` did not write."""
        try:
            table = pq.read_table(path)
            about = json.loads(table.schema.metadata[METADATA_KEY])
        except (OSError, KeyError, TypeError, pa.ArrowInvalid):
            raise UserError(f"{path} is missing or not a manifest; run `dynamonet prepare`.") from None
        if not {*LISTED_COLUMNS, *CHECKED_COLUMNS} <= set(table.column_names):
            raise UserError(f"{path} is a manifest of another version; remove it and run `dynamonet prepare`.")
        copies = about["copies"] and CopyRecipe(**about["copies"])
        rows = table.to_pandas()
        return cls(rows, about["layout"], Path(about["root"]), tuple(about["classes"]), about["files_root"], copies)

    def save(self, path: Path) -> None:
        about = dict(
            layout=self.layout,
            root=str(self.root),
            classes=self.classes,
            files_root=str(self.files_root),
            copies=self._recipe,
        )
        table = pa.Table.from_pandas(self.rows, preserve_index=False)
        with atomic_path(path) as temporary:
            pq.write_table(table.replace_schema_metadata({METADATA_KEY: canonical_json(about)}), temporary)

    @property
    def splits(self) -> tuple[int, ...]:
        return tuple(int(name.removeprefix("split_")) for name in self.rows if name.startswith("split_"))

    @property
    def identifying_columns(self) -> tuple[str, ...]:
        splits = [f"split_{split}" for split in self.splits]
        return ("id", "class_index", *splits, "frames", "sha256", "status", "file_sha256")

    @cached_property
    def sha256(self) -> str:
        """Identifies the data: classes, ids, parts, frame counts, contents and copies' recipe; not where they lie."""
        digest = hashlib.sha256(canonical_json([self.classes, self._recipe]).encode())
        for name in self.identifying_columns:
            digest.update(f"\0{name}\0".encode())
            digest.update("\n".join(map(str, self.rows[name].tolist())).encode())
        return digest.hexdigest()

    def select(self, split: int, part: str, label_fraction: float = 1.0, seed: int = 0) -> pd.DataFrame:
        """Usable rows of one part, in manifest order.

        `label_fraction` keeps ceil(fraction * n) videos of each class, the first of an order given by
        (seed, id): a smaller fraction is a subset of a larger one. Raises UserError for a split the data
        set has not, and for a part without usable videos.
        """
        rows = self.part(split, part)
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
        rows = self.part(split, part)
        return rows[rows["status"] != "ok"].reset_index(drop=True)

    def part(self, split: int, part: str) -> pd.DataFrame:
        """All rows that the lists of a split put into a part ("train" or "test"), with their status in it.

        A "duplicate" is one in training, and in the splits whose test part has its content. Raises UserError for a
        split the data set has not.
        """
        if split not in self.splits:
            splits = ", ".join(map(str, self.splits))
            raise UserError(f"Data set {self.root} has no split {split}; use one of {splits}.")
        parts = self.rows[f"split_{split}"]
        rows = self.rows[parts == part]
        duplicates = rows["status"] == "duplicate"
        if not duplicates.any():
            return rows
        if part == "train":
            tested = self.rows.loc[(parts == "test") & self.rows["status"].isin(["ok", "duplicate"]), "sha256"]
            elsewhere = duplicates & ~rows["sha256"].isin(tested)
        else:
            elsewhere = duplicates
        return rows.assign(status=rows["status"].mask(elsewhere, "ok"), reason=rows["reason"].mask(elsewhere, ""))

    @property
    def _recipe(self) -> dict | None:
        return self.copies and self.copies.model_dump()
