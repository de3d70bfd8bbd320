import copy

import pandas as pd
import pytest
import synthetic_study
from synthetic_study import NEVER, planned_run, write_study

from dynamonet.errors import UserError
from dynamonet.report.collect import read_study
from dynamonet.report.effects import effects_table

MODELS = ("dynamonet", "no_dmr")


def small_plan(seeds=(0, 1, 2), splits=(1, 2), **claim) -> dict:
    """One experiment of two models and one claim about them."""
    study = synthetic_study.plan(models=3, datasets=1)
    runs = [planned_run(model, "ucf101", s, seed) for seed in seeds for s in splits for model in MODELS]
    experiment = {"claim": "c", "task": "train", "tables": ["ablation"], "runs": runs}
    sides = {side: {"experiment": "e", "model": m} for side, m in zip(("treatment", "control"), MODELS, strict=True)}
    study["experiments"] = {"e": experiment}
    study["claims"] = {"it": {"text": "It helps", "metric": "top1", **sides, **claim}}
    return study


def judged(tmp_path, study: dict, top1) -> pd.Series:
    return effects_table(read_study(write_study(tmp_path, study, top1))).tidy.iloc[0]


def gain(points_by_seed: list[float]):
    """Accuracies whose treatment is ahead by so many points for seed 0, 1, 2."""

    def top1(run: dict) -> float:
        ahead = points_by_seed[run["seed"]] if run["model"] == "dynamonet" else 0
        return 0.5 + 0.1 * run["split"] + ahead / 100

    return top1


@pytest.mark.parametrize(
    ("points", "verdict"),
    [([5, 6, 7], "helps"), ([-5, -6, -7], "hurts"), ([-6, 0, 7], "not distinguishable")],
)
def test_verdict_from_the_interval(tmp_path, points, verdict):
    row = judged(tmp_path, small_plan(), gain(points))
    assert row["verdict"] == verdict
    assert (row["n_pairs"], row["paired_over"], row["run_pairs"]) == (3, "seeds", 6)
    assert row["difference"] == pytest.approx(sum(points) / 3)
    assert row["control_mean"] == pytest.approx(65)


def test_interval_by_hand(tmp_path):
    row = judged(tmp_path, small_plan(), gain([5, 6, 7]))
    assert row["difference_ci95_low"] == pytest.approx(6 - 4.302653 / 3**0.5, abs=1e-5)


def test_two_seeds_are_not_tested(tmp_path):
    row = judged(tmp_path, small_plan(seeds=(0, 1)), gain([5, 6]))
    assert row["verdict"] == "not tested (n < 3)"
    assert row["difference"] == pytest.approx(5.5)


def test_a_single_seed_is_paired_over_its_splits(tmp_path):
    row = judged(tmp_path, small_plan(seeds=(0,), splits=(1, 2, 3)), gain([5]))
    assert (row["verdict"], row["paired_over"], row["n_pairs"]) == ("helps", "splits", 3)


def test_a_missing_run_withholds_the_verdict(tmp_path):
    lost = small_plan()["experiments"]["e"]["runs"][-1]["run"]
    row = judged(tmp_path, small_plan(), lambda run: NEVER if run["run"] == lost else gain([5, 6, 7])(run))
    assert (row["verdict"], row["runs_missing"], row["runs_planned"]) == ("missing", 1, 12)


def test_no_run_at_all_is_missing(tmp_path):
    row = judged(tmp_path, small_plan(), lambda run: NEVER)
    assert (row["verdict"], row["n_pairs"]) == ("missing", 0)


def test_a_claim_that_leaves_the_fraction_open_pairs_equal_fractions(tmp_path):
    study = synthetic_study.plan(models=3, datasets=1)
    study["claims"] = {"pretraining": study["claims"]["pretraining"]}
    row = judged(tmp_path, study, lambda run: 0.6 * run["label_fraction"] + (run["init"] != "scratch") * 0.03)
    assert (row["verdict"], row["run_pairs"], row["n_pairs"]) == ("helps", 12, 3)
    assert row["difference"] == pytest.approx(3)


def test_psnr_of_a_model_that_predicts_nothing_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"claim 'it' needs psnr_db.*no_dmr"):
        judged(tmp_path, small_plan(metric="psnr_db"), gain([5, 6, 7]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metric": "loss"}, "unknown metric 'loss'"),
        ({"treatment": {"experiment": "nowhere"}}, "no run of the study matches"),
        ({"treatment": {"experiment": "e", "colour": "red"}}, "knows no 'colour'"),
        ({"treatment": {"experiment": "e"}}, "several runs share"),
    ],
)
def test_a_claim_that_cannot_be_judged_names_itself(tmp_path, change, message):
    with pytest.raises(UserError, match=f"claim 'it'.*{message}"):
        judged(tmp_path, small_plan(**copy.deepcopy(change)), gain([5, 6, 7]))
