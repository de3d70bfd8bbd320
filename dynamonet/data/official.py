"""What the lists of a copy hold, beside the counts of the official lists. Free of torch and of decoders."""

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from dynamonet.data.listing import Listing, official_counts
from dynamonet.data.motion import IDENTITY

PART_NAMES = {"train": "training", "test": "test"}
MOST_NAMED = 3
"""Classes that a difference names."""


class Difference(NamedTuple):
    """One number that is another than the official one; `what` is what was counted, in the plural."""

    what: str
    listed: int
    official: int

    def __str__(self) -> str:
        return f"{self.listed} {self.what} (officially {self.official})"


def counts_to_meet(layout: str, root: Path) -> dict[str, Any] | None:
    """The official counts of a layout (see `dynamonet.data.layouts`) if the data set at `root` is to have them.

    None for a layout without any, and for the embedded motion set, which has layouts of the same names with other
    videos. Raises UserError for a bad layout.
    """
    return None if (Path(root).resolve().parent / IDENTITY).is_file() else official_counts(layout)


def differences(listing: Listing, official: dict[str, Any] | None) -> list[Difference]:
    """Every official count that the lists do not meet: classes, videos, each part of each split, and in them the
    videos of each class where the owners give a number for all.
    """
    if official is None:
        return []
    by_class = Counter(
        (int(split), part, video.class_name) for video in listing.videos for split, part in video.parts.items()
    )
    counted = [
        Difference("classes", len(listing.classes), official["classes"]),
        Difference("videos", len(listing.videos), official["listed"]),
    ]
    for split, parts in official["splits"].items():
        for part, number in parts.items():
            here = {name: by_class[int(split), part, name] for name in listing.classes}
            counted.append(Difference(f"{PART_NAMES[part]} videos of split {split}", sum(here.values()), number))
            if (each := official.get("per_class", {}).get(part)) is not None:
                counted.append(_uneven(here, each, f"{PART_NAMES[part]} videos in split {split}"))
    return [one for one in counted if one.listed != one.official]


def _uneven(here: dict[str, int], each: int, what: str) -> Difference:
    others = [f"{name} {number}" for name, number in here.items() if number != each]
    named = ", ".join(others[:MOST_NAMED]) + (", …" if len(others) > MOST_NAMED else "")
    return Difference(f"classes with other than {each} {what}" + f" ({named})" * bool(others), len(others), 0)
