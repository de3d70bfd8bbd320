"""The commands that the documents show, and a copy of the project in which they can be run as they are shown."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tiny_study import ROOT

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PLUGINS = ("snakemake_logger_plugin_dynamonet", "snakemake_executor_plugin_submitit")
CHECKOUT = (
    "Makefile", "Snakefile", "workflow", "profiles", "config", "slurm", "dynamonet", "baselines", "tests",
    "pyproject.toml", "constraints.txt", *PLUGINS,
)  # fmt: skip


def documented_commands() -> dict[str, list[str]]:
    """Every command that is shown to be typed, without its comment, and the files that show it."""
    pages = [*DOCUMENTS, ROOT / "snakemake_executor_plugin_submitit/README.md"]
    heads = [ROOT / "Snakefile", *sorted((ROOT / "config").glob("*.yaml"))]
    shown: dict[str, list[str]] = {}
    for file, commands in [(page, _of_page(page)) for page in pages] + [(head, _of_head(head)) for head in heads]:
        for command in commands:
            shown.setdefault(command, []).append(file.relative_to(ROOT).as_posix())
    return shown


def _of_page(page: Path) -> list[str]:
    """The lines of a page's bash blocks."""
    blocks = re.findall(r"^```bash\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    lines = [re.sub(r"\s+# .*", "", line).strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def _of_head(file: Path) -> list[str]:
    """What stands in a file's head as `#   <command>     <remark>`, where the remark may be `(or: <command>)`."""
    head = file.read_text().partition("\n\n")[0]
    lines = re.findall(r"^#(?: Command)?   +((?:make|snakemake|dynamonet) .*)", head, re.MULTILINE)
    return [command for line in lines for command in (re.split(r"\s{2,}", line)[0], *re.findall(r"\(or: (.*)\)", line))]


def copy_checkout(folder: Path) -> Path:
    """Copy the project into a new folder, with an environment in which all that `make` installs is installed."""
    folder.mkdir(parents=True)
    for name in CHECKOUT:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(ROOT / name, folder / name)
    (folder / ".venv").mkdir()
    for part in Path(sys.prefix).iterdir():
        if part.name != ".ready":
            (folder / ".venv" / part.name).symlink_to(part)
    (folder / ".venv/.ready").touch()
    return folder


def run_documented(
    checkout: Path, command: str, replaced: Mapping[str, str] | None = None, added: str = "", **environment: str
) -> subprocess.CompletedProcess:
    """Run a command that a document shows, in a copy of the project whose environment is active.

    `replaced` puts values in the place of what the reader is to replace; `added` follows the command.
    """
    assert command in documented_commands(), f"no document shows the command {command!r}"
    for word, value in (replaced or {}).items():
        assert word in command, f"{word} is no part of {command!r}"
        command = command.replace(word, value)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
        "PATH": f"{checkout / '.venv/bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(checkout),
        "OMP_NUM_THREADS": "1",
        **environment,
    }
    return subprocess.run(
        ["bash", "-c", f"{command} {added}"], cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )


def succeed(*arguments, **keywords) -> str:
    """Run such a command, which has to succeed; returns what it said, stderr first."""
    done = run_documented(*arguments, **keywords)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr + done.stdout
