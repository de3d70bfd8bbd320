"""Documents say what is true: files they name exist, and code they show works."""

import re
import subprocess
import sys

import pytest
import yaml
from tiny_study import ROOT

from dynamonet.expansion import expand
from dynamonet.study import load_study

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


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


def test_the_documented_ablation_adds_its_runs_and_no_others():
    example = re.search(r"```yaml\n(.*?)```", (ROOT / "docs/adding-an-ablation.md").read_text(), re.DOTALL).group(1)
    demo, change = yaml.safe_load((ROOT / "config/demo.yaml").read_text()), yaml.safe_load(example)
    before = expand(load_study(demo)).runs
    after = expand(load_study({**demo, **{key: {**demo[key], **change[key]} for key in change}})).runs
    assert before.items() <= after.items()
    new = [after[run] for run in after.keys() - before.keys()]
    assert sorted({(run.model, run.recipe.prediction_weight) for run in new}) == [
        ("dynamonet", 10.0),
        ("filters_7", 3.0),
    ]
    assert len(new) == 2 * 3


def test_every_guarantee_names_tests_that_exist():
    page, named = ROOT / "docs/guarantees.md", 0
    for file, tests in re.findall(r"\]\((\S+\.py)\): ((?:`\w+`(?:, )?)+)", page.read_text()):
        source = (page.parent / file).read_text()
        for test in re.findall(r"`(\w+)`", tests):
            assert f"\ndef {test}(" in source, f"{file}: {test}"
            named += 1
    assert named == page.read_text().count("`test_")


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
