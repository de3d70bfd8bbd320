"""An experiment whose rows are compared with those of another one."""

import pytest

from dynamonet.errors import UserError
from dynamonet.expansion import expand
from dynamonet.spec_files import resolved
from dynamonet.study import load_study


@pytest.fixture
def strong(tiny) -> dict:
    """The tiny study, with an ablation of the recipe beside an experiment of its own."""
    tiny["recipes"]["strong"] = {**tiny["recipes"]["short"], "prediction_weight": 10.0}
    tiny["experiments"]["strong"] = {
        **tiny["experiments"]["kinetics400"],
        "claim": "how much prediction weighs",
        "models": ["dynamonet"],
        "recipe": "strong",
        "tables": ["ablation"],
        "reference": "kinetics400",
    }
    return tiny


def test_a_reference_is_for_the_report_and_changes_no_run(strong):
    study = load_study(strong)
    assert resolved(study, expand(study))["experiments"]["strong"]["reference"] == "kinetics400"
    without = strong["experiments"]["strong"].pop("reference")
    assert without and expand(load_study(strong)).runs == expand(study).runs


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"reference": "kinetics"}, "there is no 'kinetics'"),
        ({"reference": "strong"}, "cannot be its own"),
        ({"tables": ["accuracy"]}, "both experiments must feed the table ablation"),
        ({"reference": "labels"}, "both experiments must feed the table ablation"),
        ({"dataset": "ucf101"}, "kinetics400 has another dataset, kinetics400"),
        ({"task": "evaluate", "init": ["kinetics400"], "recipe": None}, "kinetics400 has another task, train"),
        ({"init": ["pretraining"]}, "kinetics400 has no row of init 'pretraining': it has scratch"),
        ({"label_fractions": [0.5]}, "kinetics400 has no row of label_fractions 0.5: it has 1.0"),
    ],
)
def test_a_reference_without_a_row_to_compare_is_refused(strong, change, said):
    strong["experiments"]["strong"] |= change
    with pytest.raises(UserError, match=rf"^experiments\.strong\.reference: .*{said}"):
        load_study(strong)


def test_a_reference_must_have_the_models_and_the_splits(strong):
    strong["experiments"]["ucf101"]["tables"] = ["ablation"]
    strong["experiments"]["ucf101"]["splits"] = [1, 2]
    other = {**strong["experiments"]["ucf101"], "reference": "ucf101"}
    strong["experiments"]["other"] = {**other, "splits": [1, 3]}
    with pytest.raises(UserError, match="ucf101 has no row of splits 3: it has 1, 2"):
        load_study(strong)
    strong["experiments"]["other"] = {**other, "models": ["dynamonet", "slow_r50"]}
    with pytest.raises(UserError, match="ucf101 has no row of models 'slow_r50'"):
        load_study(strong)
