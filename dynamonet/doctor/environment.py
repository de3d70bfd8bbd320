"""Python and the packages, against pyproject.toml and constraints.txt. Free of torch."""

import platform
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from dynamonet.code_files import PROJECT
from dynamonet.doctor.finding import OK, PROBLEM, WARNING, Finding

SUBJECT = "environment"
INSTALL = "pip install -c constraints.txt -e ."


def check_environment(project: Path = PROJECT) -> Iterator[Finding]:
    """project: the folder with both files."""
    wanted = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    python = platform.python_version()
    if SpecifierSet(wanted["requires-python"]).contains(python, prereleases=True):
        yield Finding(SUBJECT, OK, f"Python {python}")
    else:
        mend = "make clean .venv with another: make PYTHON=/path/to/python3.11 demo"
        yield Finding(SUBJECT, PROBLEM, f"Python {python}, and {wanted['requires-python']} is needed", mend)
    tested = _pins(project / "constraints.txt")
    other, fine = [], 0
    for requirement in map(Requirement, wanted["dependencies"]):
        version = _version(requirement.name)
        if version is None:
            yield Finding(SUBJECT, PROBLEM, f"{requirement.name} is not installed", INSTALL)
        elif not requirement.specifier.contains(version, prereleases=True):
            yield Finding(
                SUBJECT, PROBLEM, f"{requirement.name} {version} is installed, and {requirement} is needed", INSTALL
            )
        else:
            fine += 1
            pinned = tested.get(requirement.name.lower())
            if pinned and version.partition("+")[0] != pinned:  # 2.11.0+cu128 is 2.11.0, built for CUDA 12.8
                other.append(f"{requirement.name} {version} ({pinned})")
    yield Finding(SUBJECT, OK, f"{fine} packages are within pyproject.toml's bounds")
    if other:
        says = f"{len(other)} packages are not those that the tests run with: {', '.join(other)}"
        yield Finding(SUBJECT, WARNING, says, INSTALL)


def _pins(path: Path) -> dict[str, str]:
    lines = (line.partition("==") for line in path.read_text().splitlines() if "==" in line)
    return {name.strip().lower(): version.strip() for name, _, version in lines}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
