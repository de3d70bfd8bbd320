"""The costs that config/paper.yaml says are those of its plan at the speed that it supposes."""

import json
import re

import paper_footprints
import pytest

from dynamonet.files import read_json
from dynamonet.models.card import Clip
from dynamonet.planning.footprint import footprint
from dynamonet.planning.forecast import ALL
from dynamonet.study import load_study, read_config

COSTS = re.compile(r"^( *)# Costs +([\d,.]+) GPU-hours(?: \(([\d,.]+) EFLOP\))?(.*)$", re.MULTILINE)
OPENING = re.compile(r"^  # Expects  \S.*\n(?:  #          .*\n)*(  # Costs .*\n)  (\w+):", re.MULTILINE)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patched:
        folder = tmp_path_factory.mktemp("paper")
        patched.chdir(folder)
        patched.setenv("PATH", str(folder))  # without the SLURM of this machine
        return {row.name: row for row in paper_footprints.plan(paper_footprints.counted).rows}


def costs(line, row):
    _, hours, exaflop, rest = COSTS.fullmatch(line).groups()
    assert float(hours.replace(",", "")) == pytest.approx(row.device_s_left / 3600, rel=5e-3), row.name
    assert float((exaflop or "0").replace(",", "")) == pytest.approx(row.exaflop_left, rel=5e-3), row.name
    assert row.unknown == 0, row.name
    return rest


def test_every_experiment_opens_with_its_number_costs_and_command(rows):
    text = paper_footprints.PAPER.read_text()
    opening = {name: line.rstrip("\n") for line, name in OPENING.findall(text)}
    assert set(opening) == set(rows) - {ALL} == set(read_config(paper_footprints.PAPER)["experiments"])
    for name, line in opening.items():
        assert costs(line, rows[name]) == f": snakemake --profile slurm {name}"


def test_the_head_has_the_costs_of_all_and_says_that_they_are_supposed(rows):
    head = paper_footprints.PAPER.read_text().partition("\nname:")[0]
    costs(next(line for line in head.splitlines() if "# Costs" in line), rows[ALL])
    assert f"arithmetic at a supposed {paper_footprints.TFLOPS} TFLOP/s, which is no measurement" in head
    assert f"dynamonet plan --study config/paper.yaml --tflops {paper_footprints.TFLOPS}" in head


def test_what_was_counted_beforehand_is_what_is_counted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paper = load_study(read_config(paper_footprints.PAPER))
    config = paper.models["backbone"]
    asked = [(config.build, config.options, paper.clip("backbone"), paper.measured_classes)]
    for name in read_json(paper_footprints.FILE):
        build, options, frames, crop, classes, shown = json.loads(name)
        if build == "slow_r50" and shown != crop:
            asked.append((build, options, Clip(frames=frames, stride=1, crop=crop), classes, shown))
    assert len(asked) == 2
    for model in asked:
        assert footprint(*model) == paper_footprints.counted(*model)
