"""What a data set lists: classes in official order, and every video with its part in each split."""

import importlib
import os
import pkgutil
import posixpath
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from dynamonet.data import layouts
from dynamonet.errors import UserError
from dynamonet.files import canonical_json, sha256_file, sha256_text

VIDEO_SUFFIXES = frozenset(
    (
        *(".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv"),
        *(".ts", ".vob", ".webm", ".wmv"),
    )
)


@dataclass(frozen=True, slots=True)
class ListedVideo:
    id: str
    path: str
    """Relative to the data set's root, with forward slashes."""
    class_name: str | None
    parts: dict[int, str]
    """Split number -> "train" or "test"; a split that leaves the video out is absent."""
    group: str | None = None
    """Videos of one group are cut from one recording; None where the data set has no groups."""


@dataclass(frozen=True)
class Listing:
    classes: tuple[str, ...]
    """In official order: the position is the class index. Empty for unlabelled videos."""
    videos: tuple[ListedVideo, ...]
    splits: tuple[int, ...]


class Entry(NamedTuple):
    """One line of an official list."""

    file: str
    """As it is listed; without its suffix, the video's id."""
    path: str
    """Where it lies, relative to the root."""
    class_name: str | None
    split: int
    part: str | None
    """"train", "test", or None for a video that is listed but unused in this split."""
    source: str
    """The list and line that say so, for messages."""
    group: str | None = None


def layout_names() -> tuple[str, ...]:
    return tuple(sorted(module.name for module in pkgutil.iter_modules(layouts.__path__)))


def read_listing(layout: str, root: Path) -> Listing:
    """Read the lists of a data set; opens no video.

    Raises UserError for a bad layout, root or list, and for a video whose name is not UTF-8.
    """
    module, root = _layout(layout), Path(root)
    if not root.is_dir():
        raise UserError(f"Data set root {root} is not a folder; give the folder that holds {layout}.")
    listing = module.listing(root)
    for video in listing.videos:
        _check_utf8(video.path, root)
    return listing


def _check_utf8(path: str, root: Path) -> None:
    try:
        path.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode(errors="backslashreplace")
        raise UserError(f"{root} holds {shown}, a name that is not UTF-8; rename it.") from None


def fingerprint(layout: str, root: Path) -> str:
    """A hash that changes when a data set's lists do, or when a file is added to its folders of videos or removed.

    Lists are compared by content alone, folders by their time of change; no video is asked for its status. Lists that
    cannot be read count as what is wrong with them. Raises UserError for a layout that is bad or names no sources.
    """
    module, root = _layout(layout), Path(root)
    if not hasattr(module, "sources"):
        raise UserError(f"{module.__file__} has no function sources: write one, as docs/adding-a-dataset.md shows.")
    try:
        states = sorted({path.relative_to(root).as_posix(): _state(path) for path in module.sources(root)}.items())
    except UserError as error:
        states = str(error)
    return sha256_text(canonical_json(states))


def _state(source: Path) -> str | int | None:
    """A list's content as its hash, a folder's time of change in ns, None for what is not there."""
    try:
        return source.stat().st_mtime_ns if source.is_dir() else sha256_file(source)
    except OSError:
        return None


def official_counts(layout: str) -> dict | None:
    """The layout's `OFFICIAL_COUNTS` (see `dynamonet.data.layouts`), None if it has none. Raises UserError for a bad
    layout."""
    return getattr(_layout(layout), "OFFICIAL_COUNTS", None)


def _layout(name: str) -> ModuleType:
    if name not in layout_names():
        raise UserError(f"Layout {name!r} is unknown; use one of {', '.join(layout_names())}.")
    return importlib.import_module(f"dynamonet.data.layouts.{name}")


def numbered_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield ("file:line", text) of every line that is not blank, without blanks and CR at its end."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError:
        raise UserError(f"List {path} is missing or unreadable; unpack the official lists there.") from None
    except UnicodeDecodeError:
        raise UserError(f"List {path} is not UTF-8 text; replace it by the official list.") from None
    # Not splitlines(), which also splits at characters that a file name may hold.
    for number, line in enumerate(text.split("\n"), start=1):
        if "\0" in line:
            raise UserError(f"{path}:{number}: line {line.strip()!r} holds a NUL character; correct the line.")
        if line.strip():
            yield f"{path}:{number}", line.strip()


def malformed(source: str, line: str, expected: str) -> UserError:
    return UserError(f"{source}: line {line!r} is malformed; expected {expected}.")


def only_existing(root: Path, names: Iterable[str]) -> str | None:
    """The one of `names`, relative to the root, that exists, or None. Raises UserError if there are several."""
    found = [name for name in names if (root / name).exists()]
    if len(found) > 1:
        raise UserError(f"{root} holds both {found[0]} and {found[1]}; keep one of the two there.")
    return found[0] if found else None


def videos_folder(root: Path, names: tuple[str, ...], classes: Collection[str]) -> str:
    """The folder, relative to the root, that holds the class folders: one of `names`, or the root itself.

    It is the first of `names` if nothing is unpacked yet. Raises UserError if several of them exist.
    """
    found = only_existing(root, names)
    if found is None and any(path.name in classes for path in root.iterdir()):
        return "."
    return found or names[0]


def collect(classes: Iterable[str], entries: Iterable[Entry], splits: Iterable[int]) -> Listing:
    """Join the lines of all lists into one row per video, in order of first appearance.

    Raises UserError for a path that leaves the root, a class that is not one of `classes`, a video in both
    parts of a split or under two classes, two videos with one id, and a class without videos.
    """
    classes = tuple(classes)
    known = frozenset(classes)
    videos: dict[str, ListedVideo] = {}
    for entry in entries:
        check_inside(entry.file, entry.source)
        if entry.class_name not in known:
            raise UserError(f"{entry.source}: class {entry.class_name!r} is not in the class list; add or remove it.")
        video_id = posixpath.splitext(posixpath.normpath(entry.file))[0]
        path = posixpath.normpath(entry.path)
        video = videos.get(video_id)
        if video is None:
            video = videos[video_id] = ListedVideo(video_id, path, entry.class_name, {}, entry.group)
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
    listing = Listing(classes, tuple(videos.values()), tuple(splits))
    _check_classes(listing)
    return listing


def check_inside(file: str, source: str) -> None:
    """Raises UserError for a listed file that is not inside the data set's root."""
    if file.startswith("/") or ".." in file.split("/") or posixpath.normpath(file) == ".":
        raise UserError(f"{source}: {file!r} leaves the data set's root; list paths inside it.")


def _check_classes(listing: Listing) -> None:
    if not listing.videos:
        raise UserError("The data set's lists name no video; check that they are the official lists.")
    for name in sorted(set(listing.classes) - {video.class_name for video in listing.videos}):
        raise UserError(f"Class {name!r} has no listed video; list some or remove it from the class list.")
