import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from documented_commands import copy_checkout, succeed
from short_demo import demo, shortened
from tiny_study import ROOT


@pytest.fixture
def snakemake(tmp_path):
    """Run the project's workflow in a working folder of its own: `snakemake(*arguments, folder=...)`."""

    def run(*arguments: str, folder: Path = tmp_path) -> subprocess.CompletedProcess:
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        command = ["snakemake", *arguments[:1], "--snakefile", str(ROOT / "Snakefile"), *arguments[1:]]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def short_demo() -> dict:
    return shortened(demo())


@pytest.fixture(scope="session")
def finished_demo(tmp_path_factory) -> Path:
    """A copy of the project in which `make demo` has run to its end, on the demo cut short.

    One for all test processes: the first that asks makes it, the others wait. As one test goes on from there, all that
    `make` has made is kept in as-made as it then was, and what it said in as-made/said.
    """
    base = tmp_path_factory.getbasetemp()
    checkout = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "finished-demo"
    with checkout.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = checkout / "as-made"
        if not (made / "said").is_file():
            shutil.rmtree(checkout, ignore_errors=True)
            copy_checkout(checkout)
            (checkout / "config/demo.yaml").write_text(yaml.safe_dump(shortened(demo())))
            said = succeed(checkout, "make demo")
            for name in ("data", "results", ".snakemake"):
                shutil.copytree(checkout / name, made / name)
            (made / "said").write_text(said)
    return checkout
