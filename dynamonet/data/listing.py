"""What a data set lists: classes in official order, and every video with its part in each split."""

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from dynamonet.data import layouts
from dynamonet.errors import UserError


@dataclass(frozen=True)
class ListedVideo:
    id: str
    path: str
    """Relative to the data set's root, with forward slashes."""
    class_name: str | None
    parts: dict[int, str]
    """Split number -> "train" or "test"; a split that leaves the video out is absent."""


@dataclass(frozen=True)
class Listing:
    classes: tuple[str, ...]
    """In official order: the position is the class index. Empty for unlabelled videos."""
    videos: tuple[ListedVideo, ...]
    splits: tuple[int, ...]


class Entry(NamedTuple):
    """One line of an official list."""

    folder: str
    """The folder that `file` is relative to, relative to the root."""
    file: str
    class_name: str | None
    split: int
    part: str | None
    """"train", "test", or None for a video that is listed but unused in this split."""
    source: str
    """The list and line that say so, for messages."""


def layout_names() -> tuple[str, ...]:
    return tuple(sorted(module.name for module in pkgutil.iter_modules(layouts.__path__)))


def read_listing(layout: str, root: Path) -> Listing:
    """Read the lists of a data set; touches no video. Raises UserError for a bad layout, root or list."""
    if layout not in layout_names():
        raise UserError(f"Layout {layout!r} is unknown; use one of {', '.join(layout_names())}.")
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"Data set root {root} is not a folder; give the folder that holds {layout}.")
    return importlib.import_module(f"dynamonet.data.layouts.{layout}").listing(root)


def numbered_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield ("file:line", text) of every line that is not blank, without blanks and CR at its end."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError:
        raise UserError(f"List {path} is missing or unreadable; unpack the official lists there.") from None
    except UnicodeDecodeError:
        raise UserError(f"List {path} is not UTF-8 text; replace it by the official list.") from None
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield f"{path}:{number}", line.strip()


def malformed(source: str, line: str, expected: str) -> UserError:
    return UserError(f"{source}: line {line!r} is malformed; expected {expected}.")


def collect(classes: Iterable[str], entries: Iterable[Entry], splits: Iterable[int]) -> Listing:
    """Join the lines of all lists into one row per video, in order of first appearance.

    Raises UserError for a path that leaves the root, a video in both parts of a split or under two
    classes, two videos with one id, and a class without videos.
    """
    videos: dict[str, ListedVideo] = {}
    for entry in entries:
        _check_path(entry)
        video_id = str(PurePosixPath(entry.file).with_suffix(""))
        path = str(PurePosixPath(entry.folder, entry.file))
        video = videos.setdefault(video_id, ListedVideo(video_id, path, entry.class_name, {}))
        if video.class_name != entry.class_name:
            raise UserError(
                f"{entry.source}: {entry.file} is listed under {video.class_name!r} and under"
                f" {entry.class_name!r}; remove one of the two lines."
            )
        if entry.part is None:
            continue
        if video.parts.setdefault(entry.split, entry.part) != entry.part:
            raise UserError(
                f"{entry.source}: {entry.file} is in both the training and the test part of split"
                f" {entry.split}; remove one of the two lines."
            )
        if video.path != path:
            raise UserError(f"{entry.source}: {path} and {video.path} have one name; rename one of them.")
    listing = Listing(tuple(classes), tuple(videos.values()), tuple(splits))
    _check_classes(listing)
    return listing


def _check_path(entry: Entry) -> None:
    path = PurePosixPath(entry.file)
    if path.is_absolute() or ".." in path.parts or not path.name:
        raise UserError(f"{entry.source}: {entry.file!r} leaves the data set's root; list paths inside it.")


def _check_classes(listing: Listing) -> None:
    if not listing.videos:
        raise UserError("The data set's lists name no video; check that they are the official lists.")
    for name in sorted(set(listing.classes) - {video.class_name for video in listing.videos}):
        raise UserError(f"Class {name!r} has no listed video; list some or remove it from the class list.")
