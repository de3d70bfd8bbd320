"""A folder of videos without labels, for pretraining: every video file under the root, hidden ones left out.

If the root holds a `list.txt`, one path relative to the root a line, the data set is those files and no others. One
file in ten, chosen by the hash of its path, is the test part of split 1.
"""

import os
import posixpath
from collections.abc import Iterator
from pathlib import Path

from dynamonet.data.listing import VIDEO_SUFFIXES, ListedVideo, Listing, check_inside, numbered_lines
from dynamonet.errors import UserError
from dynamonet.files import sha256_bytes

LIST = "list.txt"


def listing(root: Path) -> Listing:
    paths = sorted(_listed(root / LIST) if (root / LIST).exists() else _found(root))
    # The id keeps its suffix: files of one name in two containers are two videos.
    return Listing((), tuple(ListedVideo(path, path, None, {1: _part(path)}) for path in paths), (1,))


def sources(root: Path) -> list[Path]:
    if (root / LIST).exists():
        # Without the root, which is changed by whoever saves the list.
        folders = {posixpath.dirname(path) for path in _listed(root / LIST)} - {""}
        return [root / LIST, *(root / folder for folder in folders)]
    return [root / folder for folder, _ in _walk(root)]


def _listed(path: Path) -> set[str]:
    listed = set()
    for source, line in numbered_lines(path):
        check_inside(line, source)
        if (file := posixpath.normpath(line)) in listed:
            raise UserError(f"{source}: {line} is listed twice; remove one of the two lines.")
        listed.add(file)
    if not listed:
        raise UserError(f"{path} lists no video; list some, or remove it to use every video beside it.")
    return listed


def _found(root: Path) -> list[str]:
    files = (posixpath.normpath(f"{folder}/{name}") for folder, names in _walk(root) for name in names)
    paths = [path for path in files if posixpath.splitext(path)[1].lower() in VIDEO_SUFFIXES]
    if not paths:
        raise UserError(f"{root} holds no video file; use {', '.join(sorted(VIDEO_SUFFIXES))} files.")
    return paths


def _walk(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Every folder with its files, each listed once: a link to a folder counts, but leads nowhere twice."""
    seen = set()
    for folder, folders, files in os.walk(root, onerror=_refuse, followlinks=True):
        about = Path(folder).stat()
        if (about.st_dev, about.st_ino) in seen:
            folders.clear()
            continue
        seen.add((about.st_dev, about.st_ino))
        # A name that starts with a dot is a file that is still being written, or no data.
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield os.path.relpath(folder, root), [name for name in files if not name.startswith(".")]


def _refuse(error: OSError) -> None:
    raise UserError(f"Folder {error.filename} cannot be read ({error.strerror}); make it readable.")


def _part(video_id: str) -> str:
    # A name that is not UTF-8 is refused, in one sentence, with the whole listing.
    return "test" if int(sha256_bytes(video_id.encode(errors="surrogateescape"))[:8], 16) % 10 == 0 else "train"
