import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, top_k_accuracy_score

from dynamonet.engine.accuracy import classification_metrics
from dynamonet.report import statistics
from dynamonet.report.statistics import (
    McNemar,
    bootstrap_intervals,
    interval_over_videos,
    mcnemar,
    paired_difference,
    summarise,
    summarise_runs,
    verdict,
)


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


def test_bootstrap_intervals_equal_those_of_scipy():
    draws = np.random.default_rng(0).exponential(2.0, 80)
    ((low, high),) = bootstrap_intervals(lambda units: [draws[units].mean()], 80, np.random.default_rng(1))
    theirs = stats.bootstrap((draws,), np.mean, method="percentile").confidence_interval
    # Both are of 10,000 random resamples.
    assert (low, high) == (pytest.approx(theirs.low, abs=0.05), pytest.approx(theirs.high, abs=0.05))
    assert high - low > 0.5


def test_bootstrap_intervals_of_several_statistics_are_of_the_same_resamples():
    draws = np.arange(30.0)
    intervals = bootstrap_intervals(
        lambda units: [draws[units].mean(), 2 * draws[units].mean()], 30, np.random.default_rng(1)
    )
    (low, high), (twice_low, twice_high) = intervals
    assert (twice_low, twice_high) == (pytest.approx(2 * low), pytest.approx(2 * high))
    assert low < draws.mean() < high


def share_covering(truth, intervals):
    return np.mean([low <= truth <= high for low, high in intervals])


@pytest.mark.parametrize(("videos", "accuracy"), [(200, 0.6), (1530, 0.75), (3783, 0.9)])
def test_the_interval_over_videos_covers_the_accuracy_in_95_of_100_cases(monkeypatch, videos, accuracy):
    monkeypatch.setattr(statistics, "RESAMPLES", 1000)
    rng = np.random.default_rng(videos)
    # 1,600 samples of videos: the share that covers has a standard error of half a percent.
    samples = rng.random((1600, videos)) < accuracy
    assert 0.93 <= share_covering(accuracy, [interval_over_videos(hits, rng) for hits in samples]) <= 0.97


def test_the_interval_of_a_difference_covers_it_where_networks_err_on_the_same_videos(monkeypatch):
    monkeypatch.setattr(statistics, "RESAMPLES", 1000)
    rng = np.random.default_rng(0)
    # 80 % and 75 %: half of all videos are easy to both
    easy = rng.random((1600, 500)) < 0.5
    a, b = (easy | (rng.random(easy.shape) < chance) for chance in (0.6, 0.5))
    differences = a.astype(float) - b
    assert 0.93 <= share_covering(0.05, [interval_over_videos(d, rng) for d in differences]) <= 0.97
    paired, alone = (np.ptp(interval_over_videos(v, rng)) for v in (differences[0], a[0].astype(float)))
    assert paired < alone * 2**0.5  # what two independent samples would give


def test_the_interval_over_videos_equals_a_bootstrap_that_draws_every_video():
    values = np.random.default_rng(0).choice([0, 1 / 3, 2 / 3, 1], 120, p=[0.1, 0.1, 0.3, 0.5])
    low, high = interval_over_videos(values, np.random.default_rng(1))
    ((slow_low, slow_high),) = bootstrap_intervals(lambda v: [values[v].mean()], 120, np.random.default_rng(2))
    assert (low, high) == (pytest.approx(slow_low, abs=0.01), pytest.approx(slow_high, abs=0.01))
    assert interval_over_videos(values, np.random.default_rng(1)) == (low, high)


def test_the_interval_over_no_videos_is_nothing():
    assert all(map(math.isnan, interval_over_videos(np.array([]), np.random.default_rng(0))))


def test_mcnemar_by_hand():
    a = np.array([1, 1, 1, 1, 1, 1, 0, 0], dtype=bool)
    b = np.array([1, 0, 0, 0, 0, 0, 1, 0], dtype=bool)
    compared = mcnemar(a, b)
    # 5 of 6 that only one has right: 2 (C(6,5) + C(6,6)) / 2^6
    assert (compared.only_a, compared.only_b, compared.p_value) == (5, 1, pytest.approx(14 / 64))
    assert mcnemar(b, a).p_value == compared.p_value
    assert mcnemar(a, a) == mcnemar(b, b) == McNemar(0, 0, 1.0)


def test_mcnemar_calls_equal_networks_different_in_no_more_than_5_of_100_cases():
    a, b = (np.random.default_rng(seed).random((2000, 300)) < 0.7 for seed in (0, 1))
    rejected = np.mean([mcnemar(*pair).p_value < 0.05 for pair in zip(a, b, strict=True)])
    assert 0.02 <= rejected <= 0.05  # an exact test of whole numbers is a little cautious


@pytest.mark.parametrize("ties", [False, True])
def test_accuracies_equal_those_of_scikit_learn(ties):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 9, 400)
    scores = rng.integers(0, 4, (400, 9)).astype(float) if ties else rng.random((400, 9))
    ours = classification_metrics(scores, labels)
    # Of equal scores scikit-learn puts the higher class first: reversed, the lower.
    theirs = {k: top_k_accuracy_score(8 - labels, scores[:, ::-1], k=k, labels=range(9)) for k in (1, 5)}
    assert (ours["top1"], ours["top5"]) == (pytest.approx(theirs[1]), pytest.approx(theirs[5]))
    assert ours["mean_class_accuracy"] == pytest.approx(balanced_accuracy_score(labels, scores.argmax(1)))
