"""Your own clips: `<class>/<file>` in any container, and lists in UCF101's format beside the class folders.

`classInd.txt`, `trainlist01.txt` and `testlist01.txt` are needed, splits 02 and 03 are optional.
"""

from pathlib import Path

from dynamonet.data.layouts.ucf101 import class_names, list_files, read_lists
from dynamonet.data.listing import Listing


def listing(root: Path) -> Listing:
    return read_lists(root, ".", _splits(root))


def sources(root: Path) -> list[Path]:
    return [*list_files(root, _splits(root)), *(root / name for name in class_names(root))]


def _splits(root: Path) -> tuple[int, ...]:
    # Either list makes the split exist: a forgotten partner is then reported, not skipped.
    return (1, *(split for split in (2, 3) if list(root.glob(f"t*list{split:02d}.txt"))))
