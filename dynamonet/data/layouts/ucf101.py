"""UCF101 as it unpacks: `UCF-101/<Class>/v_<Class>_gNN_cNN.avi` and the lists in `ucfTrainTestlist/`."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from dynamonet.data.listing import Entry, Listing, collect, malformed, numbered_lines
from dynamonet.errors import UserError


def listing(root: Path) -> Listing:
    return read_lists(root / "ucfTrainTestlist", "UCF-101", splits=(1, 2, 3))


def read_lists(lists: Path, videos: str, splits: tuple[int, ...]) -> Listing:
    """Read `classInd.txt`, `trainlistNN.txt` and `testlistNN.txt`; `videos` is relative to the root."""
    classes = _classes(lists / "classInd.txt")
    entries = (
        entry
        for split in splits
        for part in ("train", "test")
        for entry in _entries(lists / f"{part}list{split:02d}.txt", videos, classes, split, part)
    )
    return collect(classes, entries, splits)


def _classes(path: Path) -> tuple[str, ...]:
    """Lines `<number> <class>`, numbered from 1 without gaps."""
    classes = []
    for source, line in numbered_lines(path):
        number, _, name = line.partition(" ")
        if number != str(len(classes) + 1) or not name.strip():
            raise malformed(source, line, f"'{len(classes) + 1} <class>'")
        if name.strip() in classes:
            raise UserError(f"{source}: class {name.strip()!r} is listed twice; remove one of the two lines.")
        classes.append(name.strip())
    return tuple(classes)


def _entries(path: Path, videos: str, classes: tuple[str, ...], split: int, part: str) -> Iterator[Entry]:
    """Training lines are `<class>/<file> <class number>`, test lines `<class>/<file>`."""
    class_numbers = {name: str(number) for number, name in enumerate(classes, start=1)}
    for source, line in numbered_lines(path):
        file, _, number = line.rpartition(" ") if part == "train" else (line, "", "")
        file, class_name = file.strip(), PurePosixPath(file).parts[0] if file else ""
        if "/" not in file or (part == "train" and not number.isdecimal()):
            raise malformed(source, line, "'<class>/<file>'" + " and the class number" * (part == "train"))
        if class_name not in class_numbers and class_name not in ("/", ".."):
            raise UserError(f"{source}: class {class_name!r} is not in classInd.txt; add or remove it.")
        if part == "train" and number != class_numbers.get(class_name, number):
            raise UserError(
                f"{source}: {file} has number {number}, but classInd.txt says {class_numbers[class_name]};"
                " correct one of them."
            )
        yield Entry(videos, file, class_name, split, part, source)
