"""HMDB51 as it unpacks: `hmdb51_org/<class>/<file>.avi` and the lists in `testTrainMulti_7030_splits/`.

The class folders may also lie in `videos/` or in the root itself, the lists in `splits/` or `annotations/`.
"""

from collections.abc import Iterator
from pathlib import Path

from dynamonet.data.listing import (
    Entry,
    Listing,
    collect,
    malformed,
    numbered_lines,
    only_existing,
    videos_folder,
)
from dynamonet.errors import UserError

OFFICIAL_COUNTS = {
    "classes": 51,
    "listed": 6766,
    "splits": {split: {"train": 3570, "test": 1530} for split in ("1", "2", "3")},
    "per_class": {"train": 70, "test": 30},
    "source": "lines of the owners' lists, test_train_splits.rar: 70 and 30 videos of each class",
}
SPLITS = (1, 2, 3)
VIDEOS = ("hmdb51_org", "videos")
LISTS = ("testTrainMulti_7030_splits", "splits", "annotations")
SUFFIX = "_test_split1.txt"
PARTS = {"0": None, "1": "train", "2": "test"}


def listing(root: Path) -> Listing:
    lists, classes = _lists(root)
    videos = videos_folder(root, VIDEOS, classes)
    entries = (entry for split in SPLITS for name in classes for entry in _entries(lists, videos, name, split))
    return collect(classes, entries, SPLITS)


def sources(root: Path) -> list[Path]:
    lists, classes = _lists(root)
    videos = root / videos_folder(root, VIDEOS, classes)
    return [_list(lists, name, split) for split in SPLITS for name in classes] + [videos / name for name in classes]


def _lists(root: Path) -> tuple[Path, list[str]]:
    """The folder of the lists, and the classes that they are of."""
    lists = root / (only_existing(root, LISTS) or LISTS[0])
    classes = sorted(path.name.removesuffix(SUFFIX) for path in lists.glob(f"*{SUFFIX}"))
    if not classes:
        raise UserError(f"{root} holds no <class>{SUFFIX} in {', '.join(LISTS)}; unpack the official lists there.")
    return lists, classes


def _list(lists: Path, class_name: str, split: int) -> Path:
    return lists / f"{class_name}_test_split{split}.txt"


def _entries(lists: Path, videos: str, class_name: str, split: int) -> Iterator[Entry]:
    """Lines `<file> <flag>`: 0 is unused in this split, 1 training, 2 test."""
    for source, line in numbered_lines(_list(lists, class_name, split)):
        file, _, flag = line.rpartition(" ")
        if not file.strip() or flag not in PARTS:
            raise malformed(source, line, "'<file> <flag>' with flag 0, 1 or 2")
        file = f"{class_name}/{file.strip()}"
        yield Entry(file, f"{videos}/{file}", class_name, split, PARTS[flag], source)
