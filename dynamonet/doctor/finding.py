"""What a check has found. Free of torch."""

import os
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from dynamonet.planning.queue import last_line

OK, WARNING, PROBLEM = "ok", "warning", "problem"
ANSWER_WITHIN_S = 60.0


@dataclass(frozen=True)
class Finding:
    """subject: environment, gpu, video, slurm, data or disk. mend: the command or edit that mends it."""

    subject: str
    state: str
    says: str
    mend: str = ""

    def as_json(self) -> dict:
        return asdict(self)


class NoAnswer(Exception):
    """A program is not there, failed, or did not answer in time; the message says which."""


def answer(
    command: Iterable[str], within_s: float = ANSWER_WITHIN_S, environment: Mapping[str, str] | None = None
) -> str:
    """What a program prints. Raises NoAnswer.

    One that hangs is killed and left alone: what waits for a dead network file system cannot be waited for.
    """
    command = list(command)
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as complaints:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=complaints,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        except OSError as error:
            raise NoAnswer(f"{Path(command[0]).name}: {error.strerror}") from error
        try:
            status = process.wait(within_s)
        except subprocess.TimeoutExpired:
            process.kill()
            raise NoAnswer(f"{Path(command[0]).name} did not answer within {within_s:.0f} s") from None
        out.seek(0)
        complaints.seek(0)
        if status:
            said = complaints.read().strip() or f"exit code {status}"
            raise NoAnswer(f"{Path(command[0]).name}: {last_line(said)}")
        return out.read()
