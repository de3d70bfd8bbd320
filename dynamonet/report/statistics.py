"""The report's arithmetic: means, intervals, paired differences and verdicts. Pure functions."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd
from scipy import stats

CONFIDENCE = 0.95
# Two values give an interval about 13 standard deviations wide: it says nothing, and it ruins every axis.
MINIMUM_N = 3


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
