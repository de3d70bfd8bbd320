import re
import tomllib

import yaml
from tiny_study import ROOT


def requirement_names(lines):
    return {re.split(r"[\s<>=!~;\[]", line, maxsplit=1)[0].lower() for line in lines}


def test_conda_environment_and_pyproject_are_in_step():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = set(project["dependencies"]) | set(project["optional-dependencies"]["dev"])
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    listed = {line for line in environment[-1]["pip"] if line != "-e ."}
    assert listed == wanted
    assert f"python{project['requires-python']}" in environment


def test_every_dependency_has_its_reason():
    lines = (ROOT / "environment.yml").read_text().splitlines()
    for line in lines:
        if re.match(r"\s+- [a-z0-9]+[><=]", line) and "python>" not in line:
            assert "# " in line, line


def test_constraints_pin_every_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = requirement_names(project["dependencies"] + project["optional-dependencies"]["dev"])
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all("==" in line for line in lines)
    assert wanted <= requirement_names(lines)
