"""Kinetics-400: `{train,val}/<label>/<youtube id>_<start>_<end>.mp4`, start and end as six-digit seconds.

The owners' CSV files, under any of their usual names, lie in `annotations/`, in `kinetics400/` as they unpack, or in
the root. The training list becomes the training part of split 1, the validation list its test part; without a
training list the data set is for evaluation only. The owners' test list has no labels and is not read.

Copies lie in many ways. A listed video is found by its name wherever it is in the folder of its part: in a class
folder however that is spelled (torchvision and mmaction2 write `_` for blanks), or beside the others (CVDF; mmaction2
names files by the YouTube id alone), in any container. CVDF's `replacement/` holds whole copies of files that are
damaged in its archives, and is preferred. Missing videos are common, and stay listed.
"""

import csv
import os
import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dynamonet.data.listing import VIDEO_SUFFIXES, Entry, Listing, collect, only_existing
from dynamonet.errors import UserError

OFFICIAL_COUNTS = {
    "classes": 400,
    "listed": 246534 + 19906,
    "splits": {"1": {"train": 246534, "test": 19906}},
    "source": "rows of the owners' training and validation lists; 246,535 and 19,907 in print count the headers",
}
COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split")
LISTS = ("annotations", "kinetics400", ".")
PREFIXES = ("", "kinetics_", "kinetics400_", "kinetics_400_", "kinetics-400_")
REPLACEMENT = "replacement"


class Part(NamedTuple):
    name: str
    lists: tuple[str, ...]
    """The names of its list, also those in the column `split`."""
    folders: tuple[str, ...]


TRAIN = Part("train", ("train",), ("train", "videos_train", "train_256"))
VALIDATION = Part(
    "test",
    ("validate", "val", "validation"),
    ("val", "validate", "validation", "videos_val", "val_256"),
)


class Row(NamedTuple):
    label: str
    youtube_id: str
    name: str
    """`<youtube id>_<start>_<end>`"""
    source: str


def listing(root: Path) -> Listing:
    replaced = _files(root, REPLACEMENT) if (root / REPLACEMENT).is_dir() else {}
    entries = []
    for part in (TRAIN, VALIDATION):
        path, folder = _list(root, part), only_existing(root, part.folders)
        if path:
            found = _files(root, folder) if folder else {}
            entries += _entries(list(_rows(path, part)), part, folder or part.folders[0], found | replaced)
        elif folder or part is VALIDATION:
            names = ", ".join(f"{name}.csv" for name in part.lists)
            has = f"{folder}, but " if folder else ""
            raise UserError(
                f"{root} holds {has}no list {names} (or {PREFIXES[-1]}{part.lists[0]}.csv) in"
                f" {', '.join(LISTS[:-1])} or itself; put the official CSV file there."
            )
    return collect(sorted({entry.class_name for entry in entries}), entries, splits=(1,))


def sources(root: Path) -> list[Path]:
    lists = [path for part in (TRAIN, VALIDATION) if (path := _list(root, part))]
    tops = [only_existing(root, names) for names in (TRAIN.folders, VALIDATION.folders, (REPLACEMENT,))]
    return lists + [root / folder for top in tops if top for folder in _folders(root, top)]


def _list(root: Path, part: Part) -> Path | None:
    names = [f"{prefix}{name}.csv" for name in part.lists for prefix in PREFIXES]
    for folder in LISTS:
        if name := only_existing(root / folder, names):
            return root / folder / name
    return None


def _files(root: Path, folder: str) -> dict[str, str]:
    """Name without suffix -> path relative to the root, of the videos in `folder` and the folders in it.

    Every folder is listed once and no file is asked for its status, which half a million of them would make slow.
    """
    files: dict[str, str] = {}
    folders = [folder]
    for inside in folders:
        for item in _contents(root / inside):
            name, suffix = posixpath.splitext(item.name)
            path = f"{inside}/{item.name}"
            if suffix.lower() in VIDEO_SUFFIXES:
                if files.setdefault(name, path) != path:
                    raise UserError(f"{root} holds both {files[name]} and {path}; keep one of the two.")
            elif inside == folder and item.is_dir():
                folders.append(path)
    return files


def _folders(root: Path, folder: str) -> list[str]:
    """The folder, relative to the root, and those in it."""
    return [folder, *(f"{folder}/{item.name}" for item in _contents(root / folder) if _is_folder(item))]


def _is_folder(item: os.DirEntry) -> bool:
    """Without asking for the status of a video, which may be a link."""
    return posixpath.splitext(item.name)[1].lower() not in VIDEO_SUFFIXES and item.is_dir()


def _contents(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as contents:
            return sorted(contents, key=lambda item: item.name)
    except OSError as error:
        raise UserError(f"Folder {folder} cannot be read ({error.strerror}); make it readable.") from None


def _entries(rows: list[Row], part: Part, folder: str, files: dict[str, str]) -> Iterator[Entry]:
    paths = [files.get(row.name) or files.get(row.youtube_id) for row in rows]
    # A missing video is expected beside the others of its class.
    beside = {
        row.label: posixpath.dirname(path)
        for row, path in zip(rows, paths, strict=True)
        if path and path.startswith(f"{folder}/")
    }
    for row, path in zip(rows, paths, strict=True):
        path = path or f"{beside.get(row.label, f'{folder}/{row.label}')}/{row.name}.mp4"
        yield Entry(f"{row.label}/{row.name}.mp4", path, row.label, 1, part.name, row.source)


def _rows(path: Path, part: Part) -> Iterator[Row]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            missing = [column for column in COLUMNS if column not in (rows.fieldnames or ())]
            if missing:
                raise UserError(f"{path}:1: column {missing[0]!r} is missing; use the official CSV file.")
            for row in rows:
                yield _row(row, f"{path}:{rows.line_num}", part)
    except OSError:
        raise UserError(f"List {path} is unreadable; put the official CSV file there.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"List {path} is not a CSV file in UTF-8 ({error}); use the official one.") from None


def _row(row: dict[str, str], source: str, part: Part) -> Row:
    label, youtube_id, start, end, split = (row[column] for column in COLUMNS)
    if not (label and youtube_id and split and (start or "").isdecimal() and (end or "").isdecimal()):
        raise UserError(f"{source}: the line is malformed; expected {','.join(COLUMNS)} with whole seconds.")
    if {"/", "\0"} & {*label, *youtube_id}:
        raise UserError(f"{source}: {label!r} or {youtube_id!r} holds a slash or NUL character; correct the line.")
    if split not in part.lists:
        raise UserError(f"{source}: split is {split!r}, not {part.lists[0]!r}; use the official CSV file.")
    return Row(label, youtube_id, f"{youtube_id}_{int(start):06d}_{int(end):06d}", source)
