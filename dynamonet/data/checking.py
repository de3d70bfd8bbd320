"""One listed file looked at: what the disk says of it, and its prepared copy. Runs in the processes of a pool.

Free of decoders until a file is looked at, so that whoever only counts what is known need not load one.
"""

import errno
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dynamonet.data.copy_recipe import CopyRecipe, copy_path
from dynamonet.data.ledger import Key
from dynamonet.errors import UserError
from dynamonet.files import sha256_file

CHECK_VERSION = 1
"""Raise it when `check_video` judges otherwise or says more: what the ledgers hold of earlier ones is then not used."""

PASSING_ERRORS = {errno.EIO, errno.EACCES, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.ETIMEDOUT}
"""Of the machine or its disk, and no property of the file: it is looked at again the next time."""

FACTS = dict(frames=0, width=0, height=0, fps=0.0, duration_s=0.0, first_pts=0, pts_step=0, sha256="")


class Stamp(NamedTuple):
    """What changes with a file's content, as far as the disk tells without reading it."""

    bytes: int
    mtime_ns: int


class Absent(Exception):
    """A listed file that cannot be looked at; `status` and `reason` as in a manifest."""

    def __init__(self, status: str, reason: str):
        super().__init__(reason)
        self.status, self.reason = status, reason


def stamp(path: Path) -> Stamp:
    """Raises Absent for a path that is no readable file."""
    try:
        found = Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        raise Absent("missing", "there is no such file") from None
    except OSError as error:
        raise Absent("undecodable", f"cannot be read ({error.strerror})") from None
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"
        raise Absent("undecodable", f"is {kind}")
    return Stamp(found.st_size, found.st_mtime_ns)


def facts_key(path: str, seen: Stamp) -> Key:
    """path: relative to the data set's root."""
    return ("check", CHECK_VERSION, path, *seen)


def copy_key(file: str, seen: Stamp) -> Key:
    """file: relative to the folder of copies, which names the recipe and the source's content; seen: of the copy."""
    return ("copy", file, *seen)


@dataclass(frozen=True)
class Task:
    """One file to look at."""

    path: Path
    seen: Stamp
    facts: dict | None
    """Known already: only the copy is wanted."""
    recipe: CopyRecipe | None
    copies_folder: Path | None


@dataclass(frozen=True)
class Examined:
    """What came of a task. `facts` is what a ledger keeps: columns of a manifest and the decoder that said so."""

    facts: dict | None = None
    copy: dict | None = None
    """"facts", which a ledger keeps as well, and "seen", the copy's stamp."""
    failure: str = ""
    """Why facts or copy could not be had this time, which is no property of the file and is not kept."""


def examine(task: Task) -> Examined:
    """Check a file and make its copy. Raises UserError if copies cannot be written."""
    try:
        facts = task.facts or check_file(task.path)
        if stamp(task.path) != task.seen:
            return Examined(failure="changed while it was read")
    except Absent as absent:
        return Examined(failure=absent.reason)
    except OSError as error:
        return Examined(failure=f"cannot be read ({error.strerror})")
    if task.recipe is None or facts["status"] != "ok":
        return Examined(facts)
    try:
        return Examined(facts, copy_file(task, facts))
    except UserError as error:
        return Examined(facts, failure=f"cannot be copied: {getattr(error, 'reason', error)}")
    except OSError as error:  # of the folder, not of the file: it would fail all others too
        raise UserError(
            f"{task.copies_folder} does not take the copy of {task.path} ({error.strerror}); mend that and start"
            " again: what is copied stays."
        ) from None


def check_file(path: Path) -> dict:
    """Hash a file and decode it from end to end. Raises OSError for one that cannot be read."""
    from dynamonet.data.check import check_video
    from dynamonet.data.video import VideoError

    facts = FACTS | dict(sha256=sha256_file(path), status="ok", reason="", decoder=decoder())
    try:
        info = check_video(path)
    except VideoError as error:
        if getattr(error.__cause__, "errno", None) in PASSING_ERRORS:
            raise error.__cause__ from None
        return facts | dict(status="undecodable", reason=error.reason)
    first_pts, pts_step = info.clock or (0, 0)
    return facts | dict(
        frames=info.frames,
        width=info.width,
        height=info.height,
        fps=info.fps,
        duration_s=info.duration_s,
        first_pts=first_pts,
        pts_step=pts_step,
    )


def copy_file(task: Task, facts: dict) -> dict:
    """Make the copy of a checked file. Raises VideoError if it gives none, OSError where it cannot be written."""
    from dynamonet.data.copies import make_copy

    path = copy_path(task.copies_folder, facts["sha256"], task.recipe)
    info = make_copy(task.path, path, task.recipe, facts["frames"])
    seen = stamp(path)
    copy = dict(
        frames=info.frames,
        width=info.width,
        height=info.height,
        first_pts=info.clock.first_pts,
        pts_step=info.clock.step,
        bytes=seen.bytes,
        sha256=info.sha256,
        psnr_mean_db=info.psnr_mean_db,
        psnr_min_db=info.psnr_min_db,
        encoder=f"{info.encoder}, {decoder()}",
    )
    return dict(facts=copy, seen=seen)


def decoder() -> str:
    """The libraries that read and write video here, with their versions."""
    import av

    codec = ".".join(map(str, av.library_versions["libavcodec"]))
    return f"PyAV {av.__version__}, libavcodec {codec}"
