import math

import numpy as np
import pandas as pd
import pytest

from dynamonet.report.statistics import paired_difference, summarise, summarise_runs, verdict


def test_summary_of_three_values_by_hand():
    summary = summarise([80.0, 82.0, 84.0])
    # t(0.975, 2) = 4.302653; sd = 2; half width = 4.302653 * 2 / sqrt(3)
    assert (summary.n, summary.mean, summary.sd) == (3, 82.0, 2.0)
    assert summary.low == pytest.approx(82 - 4.968277, abs=1e-5)
    assert summary.high == pytest.approx(82 + 4.968277, abs=1e-5)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0]])
def test_too_few_values_have_no_interval(values):
    summary = summarise(values)
    assert summary.n == len(values)
    assert math.isnan(summary.low) and math.isnan(summary.high)


def test_equal_values_give_an_interval_of_width_zero():
    assert summarise([5.0, 5.0, 5.0]).low == summarise([5.0, 5.0, 5.0]).high == 5.0


@pytest.mark.parametrize("n", [3, 5, 10])
def test_interval_covers_the_mean_in_95_of_100_cases(n):
    draws = np.random.default_rng(n).normal(loc=3.0, scale=2.0, size=(1500, n))
    covered = np.mean([s.low <= 3.0 <= s.high for s in map(summarise, draws)])
    assert 0.93 <= covered <= 0.97


def _pairs(rows: list[tuple[int, int, float, float]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["seed", "split", "treatment", "control"]).assign(dataset="ucf101")


def test_splits_are_averaged_within_a_seed_before_the_interval():
    rows = [(seed, split, 80 + seed + 10 * split, 79 + 10 * split) for seed in (0, 1, 2) for split in (1, 2, 3)]
    compared = paired_difference(_pairs(rows))
    assert (compared.paired_over, compared.difference.n, compared.run_pairs) == ("seeds", 3, 9)
    # Differences by seed: 1, 2, 3
    assert compared.difference.mean == pytest.approx(2)
    assert compared.difference.sd == pytest.approx(1)


def test_a_single_seed_is_paired_over_splits():
    compared = paired_difference(_pairs([(0, 1, 5, 4), (0, 2, 6, 4), (0, 3, 7, 4)]))
    assert (compared.paired_over, compared.difference.n) == ("splits", 3)
    assert compared.treatment_mean == 6 and compared.control_mean == 4


@pytest.mark.parametrize(
    ("differences", "missing", "expected"),
    [
        ([4.9, 5.0, 5.1], 0, "helps"),
        ([-4.9, -5.0, -5.1], 0, "hurts"),
        ([-5.0, 0.1, 5.0], 0, "not distinguishable"),
        ([4.9, 5.0], 0, "not tested (n < 3)"),
        ([4.9, 5.0, 5.1], 1, "missing"),
    ],
)
def test_verdicts(differences, missing, expected):
    assert verdict(summarise(differences), missing) == expected


def test_the_interval_of_a_mean_is_over_seeds_not_over_splits_of_a_seed():
    effect = {0: -2.0, 1: -1.0, 2: 0.0, 3: 1.0, 4: 2.0}
    runs = pd.DataFrame([{"seed": s, "split": k, "x": 50 + e} for s, e in effect.items() for k in (1, 2, 3)])
    summary, over_seeds = summarise_runs(runs, "x"), summarise([50 + e for e in effect.values()])
    assert (summary.n, summary.mean) == (15, 50)
    assert (summary.low, summary.high) == (over_seeds.low, over_seeds.high)
    one_seed = summarise_runs(runs[runs["seed"] == 0].assign(x=[49.0, 50.0, 51.0]), "x")
    assert one_seed == summarise([49.0, 50.0, 51.0])
