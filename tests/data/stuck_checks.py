"""What a file may do to a decoder, for processes that import this in the place of the real check."""

import ctypes
import errno
import os
import signal
import time
from pathlib import Path

from dynamonet.data import check, checking
from dynamonet.data.check import check_video
from dynamonet.data.checking import Examined, Task, copy_file
from dynamonet.data.checking import examine as real_examine
from dynamonet.data.video import VideoError
from dynamonet.files import sha256_file


def examine(task: Task) -> Examined:
    if task.path.name.startswith("hangs"):
        ctypes.PyDLL(None).pause()  # keeps the interpreter's lock, as a decoder does that loops in a call
    if task.path.name.startswith("crashes"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if task.path.name.startswith("meets"):
        _meet(task.path)
    if task.path.name.startswith("forbidden"):
        checking.sha256_file = _forbidden
    if task.path.name.startswith("flickers"):
        check.check_video = _flickering
    if task.path.name.startswith("grows"):
        checking.sha256_file = _growing
    if task.path.name.startswith("noisy"):
        checking.copy_file = _unfaithful
    try:
        return real_examine(task)
    finally:
        checking.sha256_file, checking.copy_file, check.check_video = sha256_file, copy_file, check_video


def _meet(path: Path) -> None:
    """Waits until another process looks at the other file whose name starts with "meets"."""
    path.with_suffix(".here").touch()
    while len(list(path.parent.glob("meets*.here"))) < 2:
        time.sleep(0.01)


def _forbidden(path: Path) -> str:
    # Raised, because tests may run as a user whom no permission stops.
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def _flickering(path: Path):
    try:
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    except OSError as error:
        raise VideoError(path, "cannot be decoded") from error


def _growing(path: Path) -> str:
    os.utime(path, ns=(0, 0))
    return sha256_file(path)


def _unfaithful(task: Task, facts: dict) -> dict:
    raise VideoError(task.path, "gives a copy that is noise")


def fail_to_start(worker: int) -> None:
    raise MemoryError
