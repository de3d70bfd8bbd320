import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_study import ROOT


@pytest.fixture
def snakemake(tmp_path):
    """Run the project's workflow in a working folder of its own: `snakemake(*arguments, folder=...)`."""

    def run(*arguments: str, folder: Path = tmp_path) -> subprocess.CompletedProcess:
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        command = ["snakemake", *arguments[:1], "--snakefile", str(ROOT / "Snakefile"), *arguments[1:]]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)

    return run
