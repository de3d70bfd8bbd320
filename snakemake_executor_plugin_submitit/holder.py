"""Who works in this folder: a Snakemake writes down that it does, and the next one reads it.

Snakemake's own lock stays where its process was killed, and does not say whose it is. With the record beside it, the
lock of a process that is known to be gone is cleared, and that of any other is explained.
"""

import atexit
import contextlib
import getpass
import json
import os
import socket
import sys
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import psutil

FOLDER = Path(".snakemake/submitit/holders")
CLOCK_MAY_MOVE_S = 60.0
"""Linux knows a process's age: the moment it began moves whenever the clock is set."""


@dataclass(frozen=True)
class Holder:
    host: str
    pid: int
    started: float
    """When the process began, in seconds since 1970: tells it from a later one with the same number."""
    user: str
    since: str
    command: str
    locks: list[str]
    """Snakemake's lock files that are this process's."""

    @property
    def identity(self) -> str:
        return f"{self.host}-{self.pid}-{self.started}"

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.host}-{self.pid}.json"

    def is_gone(self) -> bool | None:
        """Whether the process has ended; None if it is another host's and cannot be seen from here."""
        if self.host != socket.gethostname():
            return None
        start = process_start(self.pid)
        return start is None or abs(start - self.started) > CLOCK_MAY_MOVE_S

    def __str__(self) -> str:
        return f"Snakemake, process {self.pid} of {self.user} on {self.host}, since {self.since} ({self.command})"


def process_start(pid: int) -> float | None:
    """Start time of a living process in seconds since 1970, None if there is none."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None


def hold(workflow) -> Holder:
    """Write down that this process works here, until it ends. To be called once Snakemake holds its lock."""
    locks = getattr(workflow.persistence, "_lockfile", {}).values()
    holder = Holder(
        host=socket.gethostname(),
        pid=os.getpid(),
        started=process_start(os.getpid()),
        user=getpass.getuser(),
        since=f"{datetime.now():%Y-%m-%d %H:%M:%S}",
        command=" ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        locks=[str(Path(lock).absolute()) for lock in locks],
    )
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = holder.path.absolute()
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(asdict(holder), indent=1))
    temporary.replace(path)
    atexit.register(path.unlink, missing_ok=True)
    return holder


def announce_holders(workflow) -> None:
    """Say who else works in this folder, and clear the lock of whoever is known to be gone.

    For the top of a Snakefile: before Snakemake looks at the lock. Does nothing inside a job.
    """
    if workflow.exec_mode.name != "DEFAULT":
        return
    for holder in holders():
        gone = holder.is_gone()
        if gone:
            clear(holder)
            _say(f"{holder} is gone: its lock is cleared and its jobs are found again")
        elif gone is None and not any(map(os.path.exists, holder.locks)):
            holder.path.unlink(missing_ok=True)
        elif gone is None:
            _say(f"{holder} holds this folder. If it is gone, clear its lock with: snakemake --unlock")
        else:
            _say(f"{holder} holds this folder: wait for it, or end it with: kill -INT {holder.pid}")


def holders() -> list[Holder]:
    """Everyone who has written down to be here, other than this process."""
    found = []
    for path in sorted(FOLDER.glob("*.json")):
        with contextlib.suppress(FileNotFoundError):
            holder = Holder(**json.loads(path.read_text()))
            if (holder.host, holder.pid) != (socket.gethostname(), os.getpid()) or holder.is_gone():
                found.append(holder)
    return found


def clear(holder: Holder) -> None:
    for lock in holder.locks:
        Path(lock).unlink(missing_ok=True)
    holder.path.unlink(missing_ok=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr)
