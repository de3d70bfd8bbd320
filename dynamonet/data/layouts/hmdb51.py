"""HMDB51 as it unpacks: `hmdb51_org/<class>/<file>.avi` and the lists in `testTrainMulti_7030_splits/`."""

from collections.abc import Iterator
from pathlib import Path

from dynamonet.data.listing import Entry, Listing, collect, malformed, numbered_lines
from dynamonet.errors import UserError

SPLITS = (1, 2, 3)
PARTS = {"0": None, "1": "train", "2": "test"}


def listing(root: Path) -> Listing:
    lists = root / "testTrainMulti_7030_splits"
    suffix = "_test_split1.txt"
    classes = sorted(path.name.removesuffix(suffix) for path in lists.glob(f"*{suffix}"))
    if not classes:
        raise UserError(f"{lists} holds no <class>{suffix}; unpack the official lists there.")
    entries = (entry for split in SPLITS for name in classes for entry in _entries(lists, name, split))
    return collect(classes, entries, SPLITS)


def _entries(lists: Path, class_name: str, split: int) -> Iterator[Entry]:
    """Lines `<file> <flag>`: 0 is unused in this split, 1 training, 2 test."""
    for source, line in numbered_lines(lists / f"{class_name}_test_split{split}.txt"):
        file, _, flag = line.rpartition(" ")
        if not file.strip() or flag not in PARTS:
            raise malformed(source, line, "'<file> <flag>' with flag 0, 1 or 2")
        yield Entry("hmdb51_org", f"{class_name}/{file.strip()}", class_name, split, PARTS[flag], source)
