"""UCF101 as it unpacks: `UCF-101/<Class>/v_<Class>_gNN_cNN.avi` and the lists in `ucfTrainTestlist/`.

The class folders may also lie in `videos/` or in the root itself, the lists in the folder named after their archive
or in `annotations/`. Clips of one group, `_gNN_`, are cut from one recording.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path, PurePosixPath

from dynamonet.data.listing import (
    Entry,
    ListedVideo,
    Listing,
    collect,
    malformed,
    numbered_lines,
    only_existing,
    videos_folder,
)
from dynamonet.errors import UserError

OFFICIAL_COUNTS = {
    "classes": 101,
    "listed": 13320,
    "splits": {
        "1": {"train": 9537, "test": 3783},
        "2": {"train": 9586, "test": 3734},
        "3": {"train": 9624, "test": 3696},
    },
    "source": "lines of the owners' lists, UCF101TrainTestSplits-RecognitionTask.zip",
}
SPLITS, PARTS = (1, 2, 3), ("train", "test")
VIDEOS = ("UCF-101", "videos")
LISTS = (
    "ucfTrainTestlist",
    "TrainTestSplits-RecognitionTask/ucfTrainTestlist",
    "UCF101TrainTestSplits-RecognitionTask/ucfTrainTestlist",
    "annotations",
)
SPELLINGS = "HandstandPushups", "HandStandPushups"
"""The owners write the class and its folder in the first way, and its files in the second; many copies do not."""
GROUP = re.compile(r"v_.+_(g\d+)_c\d+\.\w+")

Lines = Callable[[Path], Iterable[tuple[str, str]]]


def listing(root: Path) -> Listing:
    lists = _lists(root)
    videos = videos_folder(root, VIDEOS, _classes(lists / "classInd.txt", _official_lines))
    listed = read_lists(lists, videos, SPLITS, _official_lines)
    return replace(listed, videos=tuple(_as_it_lies(root, video) for video in listed.videos))


def sources(root: Path) -> list[Path]:
    lists = _lists(root)
    classes = _classes(lists / "classInd.txt", _official_lines)
    videos = root / videos_folder(root, VIDEOS, classes)
    return [*list_files(lists, SPLITS), *(videos / name for name in {*classes, *SPELLINGS})]


def _lists(root: Path) -> Path:
    lists = only_existing(root, LISTS)
    if lists is None:
        raise UserError(f"{root} holds none of {', '.join(LISTS)}; unpack the official lists there.")
    return root / lists


def _official_lines(path: Path) -> Iterator[tuple[str, str]]:
    folder, file = SPELLINGS
    for source, line in numbered_lines(path):
        yield source, line.replace(file, folder).replace(f"v_{folder}", f"v_{file}")


def _as_it_lies(root: Path, video: ListedVideo) -> ListedVideo:
    """The video with the path that it has on the disk, if that is spelled in another way."""
    if video.class_name != SPELLINGS[0]:
        return video
    videos, _, name = video.path.rpartition(f"{SPELLINGS[0]}/v_{SPELLINGS[1]}")
    paths = [f"{videos}{folder}/v_{file}{name}" for folder, file in product(SPELLINGS, SPELLINGS)]
    return replace(video, path=next((path for path in paths if (root / path).exists()), video.path))


def list_files(lists: Path, splits: Iterable[int]) -> list[Path]:
    """The files that `read_lists` reads."""
    return [lists / "classInd.txt", *(lists / f"{part}list{split:02d}.txt" for split, part in product(splits, PARTS))]


def class_names(lists: Path) -> tuple[str, ...]:
    """The classes of `classInd.txt`, in its order. Raises UserError for a file that is missing or malformed."""
    return _classes(lists / "classInd.txt", numbered_lines)


def read_lists(lists: Path, videos: str, splits: tuple[int, ...], lines: Lines = numbered_lines) -> Listing:
    """Read `classInd.txt`, `trainlistNN.txt` and `testlistNN.txt`; `videos` is relative to the root.

    Raises UserError for a list that is missing or malformed, see also `collect`.
    """
    classes = _classes(lists / "classInd.txt", lines)
    entries = (
        entry
        for split in splits
        for part in PARTS
        for entry in _entries(lines(lists / f"{part}list{split:02d}.txt"), videos, classes, split, part)
    )
    return collect(classes, entries, splits)


def _classes(path: Path, lines: Lines) -> tuple[str, ...]:
    """Lines `<number> <class>`, numbered from 1 without gaps."""
    classes = []
    for source, line in lines(path):
        number, _, name = line.partition(" ")
        if number != str(len(classes) + 1) or not name.strip():
            raise malformed(source, line, f"'{len(classes) + 1} <class>'")
        if name.strip() in classes:
            raise UserError(f"{source}: class {name.strip()!r} is listed twice; remove one of the two lines.")
        classes.append(name.strip())
    return tuple(classes)


def _entries(
    lines: Iterable[tuple[str, str]], videos: str, classes: tuple[str, ...], split: int, part: str
) -> Iterator[Entry]:
    """Training lines are `<class>/<file> <class number>`, test lines `<class>/<file>`."""
    class_numbers = {name: str(number) for number, name in enumerate(classes, start=1)}
    for source, line in lines:
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
        group = GROUP.fullmatch(PurePosixPath(file).name)
        yield Entry(file, f"{videos}/{file}", class_name, split, part, source, group and f"{class_name}_{group[1]}")
