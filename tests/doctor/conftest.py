import os

import pytest


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Define a program in bash, first in the PATH: `program(name, script)`; `program.alone()` leaves no others."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def define(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/bash\n{script}\n")
        (folder / name).chmod(0o755)

    define.alone = lambda: monkeypatch.setenv("PATH", str(folder))
    return define
