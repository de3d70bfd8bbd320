"""The report's arithmetic: means, intervals, paired differences and verdicts. Pure functions."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from scipy import stats

CONFIDENCE = 0.95
# Two values give an interval about 13 standard deviations wide: it says nothing, and it ruins every axis.
MINIMUM_N = 3
RESAMPLES = 10_000


@dataclass(frozen=True)
class Summary:
    """Mean, sample standard deviation and Student t interval; NaN where n is too small to have one."""

    n: int
    mean: float
    sd: float
    low: float
    high: float


@dataclass(frozen=True)
class PairedDifference:
    """Treatment minus control over independent units: seeds, or splits where there is one seed only."""

    treatment_mean: float
    control_mean: float
    difference: Summary
    paired_over: str
    run_pairs: int


@dataclass(frozen=True)
class McNemar:
    """Two networks on the same videos: how many only one of them gets right, and the p of "neither is better"."""

    only_a: int
    only_b: int
    p_value: float


def summarise(values: Iterable[float]) -> Summary:
    series = pd.Series(list(values), dtype=float).dropna()
    n = len(series)
    mean = float(series.mean()) if n else math.nan
    sd = float(series.std(ddof=1)) if n > 1 else math.nan
    if n < MINIMUM_N:
        return Summary(n, mean, sd, math.nan, math.nan)
    half_width = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)) * sd / math.sqrt(n)
    return Summary(n, mean, sd, mean - half_width, mean + half_width)


def summarise_runs(runs: pd.DataFrame, metric: str) -> Summary:
    """Mean and standard deviation over runs, and an interval over independent units.

    Runs that differ in their split only share most of their training videos, so the splits of a seed are averaged
    before the interval is taken over seeds. With a single seed the splits are all there is.
    """
    everything = summarise(runs[metric])
    if runs["seed"].nunique() == 1 or runs["split"].nunique() == 1:
        return everything
    units = summarise(runs.dropna(subset=[metric]).groupby("seed")[metric].mean())
    return Summary(everything.n, everything.mean, everything.sd, units.low, units.high)


def independent_units(runs: pd.DataFrame) -> int:
    """Over how many values the interval of these runs would be: seeds, or splits where there is one seed."""
    return runs["seed"].nunique() if runs["seed"].nunique() > 1 else runs["split"].nunique()


def within_percent(low: float, high: float) -> tuple[float, float]:
    """The ends of an interval of a percentage: Student's t knows of no bounds. NaN stays NaN."""
    return max(low, 0.0), min(high, 100.0)


def paired_difference(pairs: pd.DataFrame) -> PairedDifference:
    """Compare the columns `treatment` and `control`; each row is a pair and has its dataset, split and seed.

    The splits of one seed share most of their training videos, so they are averaged before the t interval
    is taken over seeds. With a single seed the splits are all there is.
    """
    by_seed = pairs["seed"].nunique() > 1
    units = pairs.groupby(["seed"] if by_seed else ["dataset", "split"])[["treatment", "control"]].mean()
    return PairedDifference(
        treatment_mean=float(units["treatment"].mean()),
        control_mean=float(units["control"].mean()),
        difference=summarise(units["treatment"] - units["control"]),
        paired_over="seeds" if by_seed else "splits",
        run_pairs=len(pairs),
    )


def bootstrap_intervals(
    statistics: Callable[[np.ndarray], Sequence[float]], n: int, rng: np.random.Generator
) -> list[tuple[float, float]]:
    """Percentile bootstrap intervals (Efron, 1979) of statistics of n independent units, all from the same resamples.

    statistics: called with the indices (n,) of a resample, drawn with replacement; returns one value each.
    """
    values = [statistics(rng.integers(n, size=n)) for _ in range(RESAMPLES)]
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    return list(zip(low.tolist(), high.tolist(), strict=True))


def interval_over_videos(values: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """95 % percentile bootstrap interval (Efron, 1979) of the mean of one value per video. values: (videos,).

    What another sample of videos could show of the same trained networks; other seeds are not in it. The values may be
    hits, differences of hits, or means of either over runs, so that few of them are distinct: a resample of the videos
    is then a multinomial draw of how often each value comes, which is what makes this quick. It is exact, not an
    approximation. Percentiles rather than BCa: for shares of 0.5 to 0.97 of 100 videos or more both cover alike (0.94
    to 0.97), and below that neither is to be relied on. NaN where there is no video.
    """
    if not len(values):
        return math.nan, math.nan
    distinct, counts = np.unique(values, return_counts=True)
    draws = rng.multinomial(len(values), counts / len(values), size=RESAMPLES)
    low, high = np.quantile(draws @ distinct / len(values), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def mcnemar(a: np.ndarray, b: np.ndarray) -> McNemar:
    """McNemar's exact test, two-sided. a, b: bool (videos,), whether each network has the video right."""
    only_a, only_b = int((a & ~b).sum()), int((~a & b).sum())
    disagreed = only_a + only_b
    return McNemar(only_a, only_b, _binomial_p(only_a, disagreed) if disagreed else 1.0)


@cache
def _binomial_p(successes: int, trials: int) -> float:
    """Exact, two-sided, of a fair coin. Kept: a study asks for few distinct counts, and for each of them often."""
    return float(stats.binomtest(successes, trials).pvalue)


def verdict(difference: Summary, runs_missing: int) -> str:
    """One of five sentences, decided by the interval alone."""
    if runs_missing:
        return "missing"
    if difference.n < MINIMUM_N:
        return f"not tested (n < {MINIMUM_N})"
    if difference.low > 0:
        return "helps"
    if difference.high < 0:
        return "hurts"
    return "not distinguishable"
