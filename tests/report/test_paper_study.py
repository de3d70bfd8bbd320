"""The paper's study can be reported: every table, and a macro for each of its numbers."""

import pytest
import synthetic_study
from tiny_study import ROOT

from dynamonet.expansion import expand
from dynamonet.report import TABLES
from dynamonet.report.collect import read_study
from dynamonet.report.numbers import numbers_tex
from dynamonet.spec_files import resolved
from dynamonet.study import load_study, read_config


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    """Its plan with one seed and split, as if every run were done; the recipe `modern` gives other accuracies."""
    config = read_config(ROOT / "config/paper.yaml")
    config["seeds"] = [0]
    for dataset in ("ucf101", "hmdb51"):
        config["datasets"][dataset]["splits"] = [1]
    study = load_study(config)
    plan = resolved(study, expand(study))
    directory = tmp_path_factory.mktemp("paper")
    return synthetic_study.write_study(directory, plan, lambda run: 0.8 if run["recipe"] == "modern" else 0.7)


def test_every_table_is_there_and_one_network_trained_by_two_recipes_is_told_apart(paper):
    study = read_study(paper)
    tables = {key: build(study) for key, build in TABLES.items()}
    assert [key for key, table in tables.items() if table is None] == []
    macros = numbers_tex(study, tables)
    for experiment, top1 in (("KineticsFourOhOh", "70.0"), ("KineticsFourOhOhModern", "80.0")):
        name = rf"\Accuracy{experiment}KineticsFourOhOhDynamonetTopOne"
        assert rf"\newcommand{{{name}}}{{{top1}}}" in macros
