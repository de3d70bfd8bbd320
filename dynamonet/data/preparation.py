"""Preparation: a data set's lists joined with its files, each of them checked, and copied where a study asks for it."""

from pathlib import Path

import pandas as pd

from dynamonet.data.checking import FACTS
from dynamonet.data.copy_recipe import CopyRecipe
from dynamonet.data.leaks import refuse_shared_groups, with_duplicates
from dynamonet.data.ledger import Ledger
from dynamonet.data.listing import Listing, read_listing
from dynamonet.data.manifest import CHECKED_COLUMNS, Manifest
from dynamonet.data.official import counts_to_meet, differences
from dynamonet.data.preparation_report import count, count_shard
from dynamonet.data.survey import Announce, Finding, Progress, Survey
from dynamonet.errors import UserError

CHECKED = Path("data/checked")
"""Where the ledgers are that studies share."""

MOST_NAMED = 3
"""Unusable files, or classes without videos, that an error names."""


def prepare(
    layout: str,
    root: Path,
    out: Path,
    *,
    max_unusable: int = 0,
    copies: CopyRecipe | None = None,
    copies_folder: Path | None = None,
    workers: int = 1,
    progress: Progress | None = None,
    announce: Announce = print,
    shard: tuple[int, int] | None = None,
    checked: Path = CHECKED,
) -> dict:
    """Check every listed video, make its copy if there is a recipe, write the manifest to `out`, return its counts.

    What a ledger under `checked` knows of unchanged files is not done again. With `shard` = (i, n), i from 1 to n,
    only the i-th, (i + n)-th... listed video is checked and copied, and no manifest written. `announce` is told what
    the copies will take before the first is made, of every unusable video where there are too many, and, in the end,
    of every count of the lists that is not the official one.

    Raises UserError, and writes no manifest, if a group of videos is divided between training and test, if more than
    `max_unusable` listed videos are missing, do not decode or are training videos with the content of a test video, or
    if a class is left without a usable video in a part that the lists give it.
    """
    root = Path(root).resolve()
    copies_folder = Path(copies_folder).resolve() if copies else None
    listing = read_listing(layout, root)
    refuse_shared_groups(listing)
    with Ledger(checked, layout, root) as ledger:
        survey = Survey(ledger, root, copies, copies_folder, [video.path for video in listing.videos])
        first, step = shard or (1, 1)
        survey.recall(video.path for video in listing.videos[first - 1 :: step])
        survey.complete(workers, progress or (lambda done, total: None), announce)
    if shard is not None:
        return count_shard(survey)
    rows = with_duplicates(_rows(listing, survey.findings), listing.splits)
    manifest = Manifest(rows, layout, root, listing.classes, copies_folder, copies)
    _refuse_unusable(manifest, max_unusable, announce)
    _refuse_empty_classes(manifest)
    manifest.save(out)
    official = counts_to_meet(layout, root)
    others = differences(listing, official)
    for other in others:
        announce(
            f"other than officially: {root} lists {other.listed} {other.what}, the official lists {other.official}."
        )
    return count(manifest, survey, official, others)


def _rows(listing: Listing, findings: dict[str, Finding]) -> pd.DataFrame:
    class_indices = {name: index for index, name in enumerate(listing.classes)}
    videos = listing.videos
    checks = {path: _checked_columns(path, finding) for path, finding in findings.items()}
    columns: dict[str, list] = dict(
        id=[video.id for video in videos],
        path=[video.path for video in videos],
        class_index=[class_indices.get(video.class_name, -1) for video in videos],
        group=[video.group or "" for video in videos],
    )
    for split in listing.splits:
        columns[f"split_{split}"] = [video.parts.get(split, "") for video in videos]
    for name in CHECKED_COLUMNS:
        columns[name] = [checks[video.path][name] for video in videos]
    return pd.DataFrame(columns)


def _checked_columns(path: str, finding: Finding) -> dict:
    columns = FACTS | (finding.facts or {}) | dict(status=finding.status, reason=finding.reason)
    columns["bytes"] = finding.seen.bytes if finding.seen else 0
    if not finding.copy_file:
        return columns | dict(file=path, file_bytes=columns["bytes"], file_sha256=columns["sha256"])
    columns |= dict(file=finding.copy_file, file_bytes=0, file_sha256="")
    if finding.copy is None:
        return columns
    for name in ("frames", "width", "height", "first_pts", "pts_step"):
        columns[name] = finding.copy[name]
    return columns | dict(file_bytes=finding.copy["bytes"], file_sha256=finding.copy["sha256"])


def _refuse_unusable(manifest: Manifest, max_unusable: int, announce: Announce) -> None:
    unusable = manifest.rows[manifest.rows["status"] != "ok"]
    if len(unusable) > max_unusable:
        for row in unusable.itertuples():
            announce(f"{row.status}: {row.path}: {row.reason}")
        named = "; ".join(f"{row.path}: {row.reason}" for row in unusable.head(MOST_NAMED).itertuples())
        rest = f"; and {len(unusable) - MOST_NAMED} more, all named above" if len(unusable) > MOST_NAMED else ""
        raise UserError(
            f"{len(unusable)} of {len(manifest.rows)} listed videos under {manifest.root} are unusable"
            f" ({named}{rest}); replace them or raise max_unusable, which is {max_unusable}."
        )


def _refuse_empty_classes(manifest: Manifest) -> None:
    if manifest.rows["status"].isin(["missing", "undecodable"]).all():
        raise UserError(f"Data set {manifest.root} has no usable video; check that its files are unpacked.")
    for split in manifest.splits:
        for part, name in (("train", "training"), ("test", "test")):
            listed = manifest.part(split, part)
            usable = listed.loc[listed["status"] == "ok", "class_index"]
            if part == "train" and listed.empty and manifest.classes:
                continue  # for evaluation only
            if listed.empty and not manifest.classes:
                raise UserError(
                    f"None of the {len(manifest.rows)} videos of {manifest.root} falls into the {name} part, which"
                    f" layout {manifest.layout} chooses by their paths; add videos."
                )
            if usable.empty:
                raise UserError(
                    f"Split {split} of {manifest.root} has no usable {name} video; check its lists and add files."
                )
            found = set(usable)
            if lacking := [one for index, one in enumerate(manifest.classes) if index not in found]:
                more = ", …" if len(lacking) > MOST_NAMED else ""
                raise UserError(
                    f"Split {split} of {manifest.root} has no usable {name} video of {len(lacking)} of its"
                    f" {len(manifest.classes)} classes ({', '.join(lacking[:MOST_NAMED])}{more}); add their files."
                )
