"""Functions in processes of their own, killed (SIGKILL) at a chosen instant or before a chosen change of files.

The processes are forked from one that has imported torch and nothing has run in: a start costs 50 ms, not 3 s.
"""

import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dynamonet.cli import main
from dynamonet.engine import trainer

CONTEXT = multiprocessing.get_context("forkserver")
PRELOADED = "dynamonet.engine.evaluate", "dynamonet.models.network", "pyarrow.dataset", "torch._inductor"
CONTEXT.set_forkserver_preload(list(PRELOADED))
CHANGES = {"os.chmod", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "half written"}
TIMEOUT_S = 100
STARTED = b"|"


@dataclass(frozen=True)
class Attempt:
    status: int
    """Exit status; -SIGKILL if it was killed."""
    trace: str
    """A dot for each change of files, and brackets around saves of checkpoints: `...(.....)..(.....)...`."""
    wall_s: float
    stderr: str

    @property
    def killed(self) -> bool:
        return self.status == -signal.SIGKILL

    @property
    def changes(self) -> int:
        return self.trace.count(".")

    @property
    def changes_in_saves(self) -> int:
        return sum(part.partition(")")[0].count(".") for part in self.trace.split("(")[1:])

    @property
    def ended_in_save(self) -> bool:
        return self.trace.rfind("(") > self.trace.rfind(")")


def run(
    function: Callable,
    *arguments: str | int,
    after_s: float | None = None,
    before_change: int | None = None,
    before_change_in_save: int | None = None,
) -> Attempt:
    """The function in a process of its own, which ends or is killed: some time after it has begun, or before its n-th
    change (0, 1, …).

    A change is what others could see: a file of the working folder made, half-written, renamed or removed.
    """
    reader, writer = CONTEXT.Pipe(duplex=False)
    with tempfile.NamedTemporaryFile("r") as stderr:
        told = writer, stderr.name, before_change, before_change_in_save
        process = CONTEXT.Process(target=_traced, args=(*told, function, arguments))
        process.start()
        writer.close()
        os.read(reader.fileno(), len(STARTED))
        began = time.perf_counter()
        process.join(TIMEOUT_S if after_s is None else after_s)
        if process.exitcode is None:
            process.kill()
            process.join()
        wall_s = time.perf_counter() - began
        trace = b"".join(iter(lambda: os.read(reader.fileno(), 4096), b"")).decode()
        reader.close()
        return Attempt(process.exitcode, trace, wall_s, stderr.read())


def stage(*arguments: str) -> None:
    """`dynamonet …`"""
    sys.exit(main(list(arguments)))


def _traced(writer, stderr: str, before_change, before_change_in_save, function, arguments) -> None:
    os.dup2(os.open(stderr, os.O_WRONLY), 2)
    saving, left, left_in_save = False, before_change, before_change_in_save
    folder = str(Path.cwd())
    save_checkpoint = trainer.save_checkpoint

    def tell(letter: bytes) -> None:
        os.write(writer.fileno(), letter)  # what is in a pipe outlives a killed writer

    def on_event(event: str, details: tuple) -> None:
        nonlocal left, left_in_save
        if event == "open":  # (path, mode, flags)
            if not details[2] & (os.O_WRONLY | os.O_RDWR) or not str(details[0]).startswith(folder):
                return
        elif event not in CHANGES:
            return
        if left == 0 or (saving and left_in_save == 0):
            os.kill(os.getpid(), signal.SIGKILL)
        left = None if left is None else left - 1
        if saving and left_in_save is not None:
            left_in_save -= 1
        tell(b".")

    def save(*arguments) -> None:
        nonlocal saving
        saving = True
        tell(b"(")
        save_checkpoint(*arguments)
        tell(b")")
        saving = False

    trainer.save_checkpoint = save
    Path.write_bytes = _write_in_two
    sys.addaudithook(on_event)
    tell(STARTED)
    function(*arguments)


def _write_in_two(path: Path, content) -> None:
    half = len(content) // 2
    with path.open("wb") as file:
        file.write(content[:half])
        file.flush()
        sys.audit("half written")
        file.write(content[half:])
