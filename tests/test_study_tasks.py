"""Studies that take weights as they are, read prepared copies, or change a recipe for a model."""

import re

import pytest
from tiny_study import ROOT

from dynamonet.errors import UserError
from dynamonet.expansion import expand
from dynamonet.models.card import Views
from dynamonet.spec_files import checkpoint_specs, dataset_spec
from dynamonet.study import RULES, load_study

COPIES = {"folder": "/scratch/copies", "short_side": 64, "crf": 20}
EVALUATED = {"claim": "as published", "task": "evaluate", "models": ["slow_r50"], "dataset": "kinetics400"}


@pytest.fixture
def released(tiny) -> dict:
    """The tiny study, with an experiment that evaluates released weights as their authors did."""
    tiny["models"]["slow_r50"]["options"] = {}
    tiny["mirror"] = "/mirror"
    tiny["experiments"]["published"] = {**EVALUATED, "init": ["released"], "views": "published"}
    return tiny


def run_of(study: dict, experiment: str):
    expansion = expand(load_study(study))
    return expansion.runs[expansion.experiments[experiment][0]["run"]]


def test_released_weights_are_evaluated_as_published_and_not_trained(released):
    spec = run_of(released, "published")
    assert spec.run.startswith("evaluate-slow_r50-kinetics400.1-s0-")
    assert spec.recipe is None and spec.execution.precision == "fp32"
    assert (spec.views.clips, spec.views.crops, spec.views.crop) == (10, 3, 256)
    assert spec.checkpoint.name == "released-slow_r50" and spec.checkpoint.classifier


def test_released_weights_come_from_their_authors_or_the_mirror(released):
    where = checkpoint_specs(load_study(released), expand(load_study(released)))["released-slow_r50"]
    assert where.path == "data/released/SLOW_8x8_R50.pyth"
    assert where.url.startswith("https://") and where.mirror == "/mirror"


def test_fine_tuning_from_released_weights_draws_a_new_classifier(released):
    released["experiments"]["published"] |= {"task": "train", "recipe": "short"}
    spec = run_of(released, "published")
    assert spec.recipe.steps == 6 and not spec.checkpoint.classifier


def test_a_run_is_evaluated_under_other_views_without_training(tiny):
    tiny["experiments"]["dense"] = {**EVALUATED, "init": ["kinetics400"], "views": {"clips": 5, "crops": 3}}
    spec, trained = run_of(tiny, "dense"), expand(load_study(tiny)).runs
    assert spec.views == Views(clips=5, crops=3)
    assert trained[spec.init].views != spec.views


@pytest.mark.parametrize("task", ["evaluate", "retrieve", "train"])
def test_on_one_data_set_a_run_starts_from_a_run_of_its_own_split(tiny, task):
    tiny["experiments"]["ucf101"] |= {"init": ["scratch"], "models": ["dynamonet"]}
    again = {**EVALUATED, "task": task, "models": ["dynamonet"], "dataset": "ucf101", "init": ["ucf101"]}
    tiny["experiments"]["again"] = {**again, "recipe": "short"} if task == "train" else again
    runs = expand(load_study(tiny)).runs
    found = {(spec.split, runs[spec.init].split) for spec in runs.values() if spec.init in runs}
    assert found >= {(1, 1), (2, 2), (3, 3)} and all(own == parents for own, parents in found)
    tiny["experiments"]["ucf101"]["splits"] = [1]
    with pytest.raises(UserError, match=r"experiments.again.init: ucf101 has no run on split 2 of ucf101, and its oth"):
        expand(load_study(tiny))
    tiny["experiments"]["again"]["splits"] = [1]
    expand(load_study(tiny))


def test_copies_are_part_of_a_run_and_their_folder_is_not(tiny):
    plain = run_of(tiny, "ucf101")
    tiny["datasets"]["ucf101"]["copies"] = dict(COPIES)
    copied = run_of(tiny, "ucf101")
    tiny["datasets"]["ucf101"]["copies"]["folder"] = "/elsewhere"
    assert plain.run != copied.run == run_of(tiny, "ucf101").run
    assert copied.copies.model_dump() == {"short_side": 64, "crf": 20}
    assert dataset_spec(load_study(tiny), "ucf101").copies_folder == "/elsewhere"


@pytest.mark.parametrize(
    ("crops", "needed"),
    [
        ({"crop_scales": [1.0, 0.5]}, 64),
        ({"crop_scales": [1.0, 0.4]}, 80),
        ({"crop": "jitter", "crop_short_side": [100, 120]}, 100),
        ({"crop": "resized"}, 32),
    ],
)
def test_copies_must_have_the_pixels_that_the_smallest_crop_needs(tiny, crops, needed):
    tiny["recipes"]["short"] |= crops
    tiny["datasets"]["ucf101"]["copies"] = {**COPIES, "short_side": needed}
    expand(load_study(tiny))
    tiny["datasets"]["ucf101"]["copies"]["short_side"] = needed - 2
    with pytest.raises(UserError, match=rf"datasets.ucf101.copies.short_side: {needed - 2} pixels .* the {needed} of"):
        expand(load_study(tiny))


def test_a_model_may_have_other_settings_than_the_recipe(tiny):
    tiny["models"]["slow_r50"]["recipe_overrides"] = {"optimiser": "sgd"}
    runs = [spec for spec in expand(load_study(tiny)).runs.values() if spec.dataset == "kinetics400"]
    assert {(spec.model, spec.recipe.optimiser) for spec in runs if spec.task == "train"} >= {
        ("slow_r50", "sgd"),
        ("backbone", "adamw"),
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda s: s["experiments"]["published"].update(init=["scratch"]),
            "experiments.published.init: evaluating an untrained model shows nothing",
        ),
        (
            lambda s: s["experiments"]["published"].update(recipe="short"),
            "experiments.published.recipe: task evaluate trains nothing: leave the recipe out",
        ),
        (
            lambda s: s["experiments"]["ucf101"].pop("recipe"),
            "experiments.ucf101.recipe: task train needs a recipe",
        ),
        (
            lambda s: s["experiments"]["published"].update(models=["backbone"]),
            "experiments.published.views: the card of backbone names no published views",
        ),
        (
            lambda s: s["experiments"]["published"].update(models=["backbone"], views=None),
            "experiments.published.init: nobody has released weights of dynamonet",
        ),
        (
            lambda s: s["models"]["slow_r50"].update(options={"width": 8}),
            "models.slow_r50: option width is 8, and a checkpoint of format pytorchvideo was trained with another",
        ),
        (
            lambda s: s["experiments"]["published"].update(label_fractions=[0.5]),
            "experiments.published.label_fractions: task evaluate uses no labels to train",
        ),
        (
            lambda s: s["experiments"]["published"].update(tables=["retrieval"]),
            "experiments.published.tables: task evaluate does not feed the table retrieval",
        ),
        (lambda s: s["models"].update(evaluate=s["models"].pop("slow_r50")), "models: 'evaluate' means something else"),
        (
            lambda s: s["models"]["slow_r50"].update(recipe_overrides={"stepps": 3}),
            "models.slow_r50.recipe_overrides, on recipes.short: stepps: unknown key",
        ),
        (
            lambda s: s["experiments"].update(measure=s["experiments"].pop("published")),
            "experiments: 'measure' means something else: use another name",
        ),
        (lambda s: s.update(reader="decord"), "reader: Input should be 'pyav' or 'torchcodec'"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(released, change, said):
    change(released)
    if "evaluate" in released["models"]:
        for experiment in released["experiments"].values():
            experiment["models"] = [m if m != "slow_r50" else "evaluate" for m in experiment["models"]]
    with pytest.raises(UserError) as refusal:
        expand(load_study(released))
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_no_experiment_can_be_called_like_a_rule():
    rules = "".join(path.read_text() for path in [ROOT / "Snakefile", *(ROOT / "workflow/rules").glob("*.smk")])
    named = re.findall(r"^ *(?:rule|use rule \w+ as) (\w+)", rules, re.MULTILINE)
    assert set(RULES) == set(named)
