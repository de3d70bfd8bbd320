"""Training videos that would give the test away: of the group of a test video, or with its very content."""

import pandas as pd

from dynamonet.data.listing import Listing
from dynamonet.errors import UserError


def refuse_shared_groups(listing: Listing) -> None:
    """Raises UserError naming two files of one group, one in training and the other in the test of the same split.

    Videos of a group are cut from one recording, which a network can know again (Soomro et al. 2012, UCF101).
    """
    for split in listing.splits:
        tested = {video.group: video for video in listing.videos if video.group and video.parts.get(split) == "test"}
        for video in listing.videos:
            if video.parts.get(split) == "train" and video.group in tested:
                raise UserError(
                    f"Split {split} has group {video.group!r} in both parts: {video.path} in training,"
                    f" {tested[video.group].path} in test; correct its lists."
                )


def with_duplicates(rows: pd.DataFrame, splits: tuple[int, ...]) -> pd.DataFrame:
    """Rows of a manifest in which a training video with the content of a test video of the same split is no longer
    "ok" but "duplicate", with the first such test video in its reason: the test stays as it is listed.
    """
    usable = rows[rows["status"] == "ok"]
    twins: dict[int, list[str]] = {}
    for split in splits:
        parts = usable[f"split_{split}"]
        tested = usable[parts == "test"].drop_duplicates("sha256").set_index("sha256")["path"]
        found = usable.loc[parts == "train", "sha256"].map(tested).dropna()
        for row, path in found.items():
            twins.setdefault(row, []).append(f"is {path} of the test part of split {split}")
    reasons = pd.Series({row: ", ".join(reasons) for row, reasons in twins.items()}, dtype=object)
    held = rows.index.isin(reasons.index)
    return rows.assign(
        status=rows["status"].mask(held, "duplicate"), reason=rows["reason"].mask(held, reasons.reindex(rows.index))
    )


def repeats_within_parts(rows: pd.DataFrame, splits: tuple[int, ...]) -> dict[str, dict[str, int]]:
    """By split and part: usable videos whose content an earlier one of the same part has. They are kept."""
    usable = rows[rows["status"].isin(["ok", "duplicate"])]
    return {
        str(split): {
            part: int(usable.loc[usable[f"split_{split}"] == part, "sha256"].duplicated().sum())
            for part in ("train", "test")
        }
        for split in splits
    }
