"""A folder of videos without labels, for pretraining: every video file under the root, hidden ones left out.

One file in ten, chosen by the hash of its path, is the test part of split 1.
"""

from pathlib import Path

from dynamonet.data.listing import ListedVideo, Listing
from dynamonet.errors import UserError
from dynamonet.files import sha256_text

SUFFIXES = {".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv"}


def listing(root: Path) -> Listing:
    files = (path.relative_to(root) for path in root.rglob("*") if path.suffix.lower() in SUFFIXES)
    # A name that starts with a dot is a file that is still being written.
    paths = sorted(path.as_posix() for path in files if not path.name.startswith("."))
    if not paths:
        raise UserError(f"{root} holds no video file; use {', '.join(sorted(SUFFIXES))} files.")
    # The id keeps its suffix: files of one name in two containers are two videos.
    return Listing((), tuple(ListedVideo(path, path, None, {1: _part(path)}) for path in paths), (1,))


def _part(video_id: str) -> str:
    return "test" if int(sha256_text(video_id)[:8], 16) % 10 == 0 else "train"
