"""Documents say what is true: files they name exist, code they show works, commands they show are run by tests."""

import ast
import re
import subprocess
import sys

import pytest
import yaml
from documented_commands import DOCUMENTS, documented_commands
from tiny_study import ROOT

from dynamonet.expansion import expand
from dynamonet.study import load_study

RUN_AS_SHOWN = {
    "workflow/conftest.py::finished_demo": ["make demo"],
    "workflow/test_newcomer.py::test_the_demo_is_asked_about_and_gets_another_ablation": [
        "dynamonet status",
        "dynamonet explain results/demo/runs/RUN",
        "dynamonet train --spec results/demo/runs/RUN/spec.json",
        "snakemake report",
        "snakemake all -n",
        "snakemake all",
        "snakemake ablation",
    ],
    "workflow/test_newcomer.py::test_the_papers_study_is_planned_once_five_lines_are_edited": [
        "dynamonet doctor --study config/paper.yaml",
        "dynamonet plan --study config/paper.yaml",
        "snakemake --profile slurm -n all",
    ],
    "workflow/test_newcomer.py::test_a_data_set_is_prepared_for_its_flow": [
        "mkdir -p /data/ucf101-flow",
        "snakemake results/STUDY/manifests/ucf101.parquet specs --configfile FILE",
    ],
    "workflow/test_newcomer.py::test_make_runs_the_tests": ["make test"],
    "workflow/test_new_baseline.py::test_new_files_are_planned_tested_and_tabled": [
        "snakemake all -n",
        "python -m pytest tests/baselines -k tiny_c3d",
        "dynamonet measure --all",
        "snakemake all",
    ],
    "workflow/test_folder_study.py::test_real_clips_of_other_people_are_recognised": [
        "snakemake all --configfile config/folder.yaml --config root=PATH name=NAME",
    ],
}
"""The documented commands that a test or fixture runs as they are shown, placeholders and folders apart."""
LISTED = {
    "workflow/test_newcomer.py::test_the_papers_study_is_planned_once_five_lines_are_edited": [
        # GPUs and the data sets are needed; weights are downloaded
        "snakemake --profile slurm ablation",
        "snakemake --profile slurm EXPERIMENT",
        "snakemake --profile slurm all --configfile config/released.yaml --config root=/data/kinetics400",
    ],
    "workflow/test_newcomer.py::test_other_studies_are_planned": [
        # an hour, 20 minutes
        "make embedded",
        "snakemake all --configfile config/embedded.yaml",
        "snakemake all --configfile config/zoo.yaml",
        # run where there are real clips
        "snakemake all --configfile config/folder.yaml --config root=PATH name=NAME",
        # the executor has tests of its own
        "snakemake --executor submitit --jobs 100 --default-resources slurm_partition=gpu runtime=60 mem_mb=16000",
    ],
}
"""Commands of which a test does a dry run, and why no more."""
RUN_OTHERWISE = {
    "workflow/test_study_on_slurm.py::test_the_demo_gives_the_same_tables_on_slurm_as_here": [
        # another study: this one takes GPUs and the data sets
        "snakemake --profile slurm all",
    ],
    "planning/test_calibration.py::test_the_command_measures_a_study_that_is_not_prepared": [
        # another study: this one takes a GPU
        "dynamonet calibrate --study config/paper.yaml",
    ],
    "engine/test_stored_flow.py::test_flow_is_stored_for_every_video_once_and_then_trained_and_evaluated_with": [
        # another RAFT: this one's weights are downloaded
        "dynamonet flow --spec results/STUDY/flow/ucf101.spec.json",
    ],
}
"""Commands that a test runs with something else in the place of what it cannot have."""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_linked_files_exist(document):
    for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
        assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_named_studies_and_make_targets_exist(document):
    text = document.read_text()
    for study in re.findall(r"config/\w+\.yaml", text):
        assert (ROOT / study).is_file(), study
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"\bmake (\w+)`", text):
        assert f"\n{target}:" in makefile, target


def test_every_documented_command_is_run_by_a_test_and_no_other_is_listed():
    listed = {command for table in (RUN_AS_SHOWN, LISTED, RUN_OTHERWISE) for run in table.values() for command in run}
    shown = documented_commands()
    assert {command: files for command, files in shown.items() if command not in listed} == {}
    assert listed - shown.keys() == set()


@pytest.mark.parametrize("table", [RUN_AS_SHOWN, LISTED, RUN_OTHERWISE], ids=["as shown", "listed", "otherwise"])
def test_tests_that_run_documented_commands_exist_and_run_them(table):
    for where, commands in table.items():
        file, _, name = where.partition("::")
        functions = {
            node.name: node
            for node in ast.parse((ROOT / "tests" / file).read_text()).body
            if isinstance(node, ast.FunctionDef)
        }
        assert name in functions, where
        texts = {node.value for node in ast.walk(functions[name]) if isinstance(node, ast.Constant)}
        assert table is RUN_OTHERWISE or set(commands) <= texts, f"{where} does not run {set(commands) - texts}"


def test_every_guarantee_names_tests_that_exist():
    page, named = ROOT / "docs/guarantees.md", 0
    for file, tests in re.findall(r"\]\((\S+\.py)\): ((?:`\w+`(?:, )?)+)", page.read_text()):
        source = (page.parent / file).read_text()
        for test in re.findall(r"`(\w+)`", tests):
            assert f"\ndef {test}(" in source, f"{file}: {test}"
            named += 1
    assert named == page.read_text().count("`test_")
    promises = [row for row in page.read_text().splitlines() if row.startswith("| ") and row != "| promise | test |"]
    assert promises and [row for row in promises if "`test_" not in row] == []


def test_the_documented_start_from_a_checkpoint_is_a_study():
    example = re.search(r"```yaml\n(.*?)```", (ROOT / "docs/dynamonet.md").read_text(), re.DOTALL).group(1)
    (spec,) = expand(load_study(yaml.safe_load(example))).runs.values()
    assert spec.checkpoint.name == "r3d18_2018"
    assert (spec.options["normalisation"], spec.options["shortcut"]) == ("3d_resnets_2018", "A")


def test_a_study_is_expanded_without_torch():
    code = """
import sys
from dynamonet.expansion import expand
from dynamonet.study import load_study, read_config
expand(load_study(read_config("config/demo.yaml")))
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
