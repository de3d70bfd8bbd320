"""SLURM's programs as scripts of a few lines: what a test does not define complains when it is called."""

import os
from pathlib import Path

import pytest

PROGRAMS = ("sbatch", "squeue", "sacct", "scontrol", "scancel", "srun")


class Programs:
    """A folder that is first in PATH."""

    def __init__(self, folder: Path):
        self.folder, self.log = folder, folder / "calls.log"
        for name in PROGRAMS:
            self.write(name, f'echo "{name}: this test does not expect to be asked" >&2; exit 9')

    def write(self, name: str, script: str) -> None:
        """Define a program in bash; every call is noted."""
        program = self.folder / name
        program.write_text(f'#!/bin/bash\necho "{name} $*" >>"{self.log}"\ncd "{self.folder}"\n{script}\n')
        program.chmod(0o755)

    def say(self, name: str, text: str) -> None:
        """Define a program that prints a text."""
        (self.folder / f"{name}.txt").write_text(text)
        self.write(name, f"cat {name}.txt")

    def fail(self, name: str, complaint: str) -> None:
        self.write(name, f"echo {complaint!r} >&2; exit 1")

    def calls(self, name: str = "") -> list[str]:
        """The calls so far, of one program or of all, in order."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line for line in lines if line.startswith(name)]


@pytest.fixture
def programs(tmp_path, monkeypatch) -> Programs:
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return Programs(folder)
