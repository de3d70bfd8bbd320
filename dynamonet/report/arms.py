"""Runs -> arms: the runs of a table that differ in nothing but split and seed, summarised, and their cells."""

import math
from collections.abc import Collection, Iterator
from typing import Any

import pandas as pd

from dynamonet.report.collect import GALLERY, Study, init_title
from dynamonet.report.statistics import Summary, summarise_runs, within_percent
from dynamonet.report.table_files import CHANGED, MISSING, NOT_APPLICABLE, STALE, count, interval, mean_sd, number

ARM = ["model", "init", "label_fraction"]
BOUNDS_NOTE = (
    "[lowest, highest], where not every listed video was scored: the value if all that were not scored were wrong, or "
    "all right; mean over the runs."
)


def start_notes(study: Study, tidy: pd.DataFrame) -> list[str]:
    """Where all models of a data set start alike, their names leave it out: say it here."""
    starts = tidy.groupby("dataset", sort=False)["init"].agg(["nunique", "first"])
    shared = starts[(starts["nunique"] == 1) & (starts["first"] != "scratch")]["first"]
    titles = [f"{study.dataset_title(dataset)} {init_title(init)}" for dataset, init in shared.items()]
    return [f"Start: {', '.join(titles)}."] if titles else []


def summarise_arms(
    study: Study, runs: pd.DataFrame, extra_keys: list[str], metrics: list[str], bounds: Collection[str] = ()
) -> pd.DataFrame:
    """One row per arm and `extra_keys`, with counts and each metric's summary. Arms are never pooled.

    bounds: metrics of which the means of the lowest and highest possible values are wanted too.
    """
    runs = runs.assign(arm=study.arm_labels(runs, extra_keys))
    if "experiment" not in extra_keys:
        runs, extra_keys = _by_experiment(runs, extra_keys), [*extra_keys, "experiment"]
    rows = []
    for keys, group in _groups(runs, [*extra_keys, *ARM]):
        row = {**keys, "arm": group["arm"].iloc[0], **_counts(group)}
        for metric in metrics:
            summary = summarise_runs(group, metric)
            stem, unit = metric.rsplit("_", 1)
            row |= {
                f"{stem}_n": summary.n,
                f"{stem}_mean_{unit}": summary.mean,
                f"{stem}_sd_{unit}": summary.sd,
            }
            low, high = within_percent(summary.low, summary.high) if unit == "percent" else (summary.low, summary.high)
            row |= {f"{stem}_ci95_low_{unit}": low, f"{stem}_ci95_high_{unit}": high}
            if metric in bounds:
                for end in ("lowest", "highest"):
                    row[f"{stem}_{end}_{unit}"] = group[f"{stem}_{end}_{unit}"].mean()
        rows.append(row)
    return pd.DataFrame(rows)


def any_stale(*arms: pd.DataFrame) -> bool:
    """Whether a result of these runs is stale."""
    return any(((runs["state"] == "evaluated") & (runs["stale"] != "")).any() for runs in arms)


def drawn_notes(shown: pd.DataFrame, arms: pd.DataFrame, names: pd.Series) -> str:
    """For a caption: which arms a figure leaves out since no run of them is there, and which of those shown are stale.

    shown: the rows of `arms` that are drawn; names: of each row of `arms`.
    """
    said = [
        (names[(arms["n"] == 0)], "Not shown, since no run is there"),
        (names[arms.index.isin(shown.index) & (arms["runs_stale"] > 0)], f"Stale ({STALE} in the table)"),
    ]
    return "".join(f" {what}: {', '.join(dict.fromkeys(of))}." for of, what in said if len(of))


def _by_experiment(runs: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Runs that differ in recipe or views alone are other arms: the experiment is part of those arms, and theirs only.

    Elsewhere `experiment` is empty, so that an arm can be of several experiments.
    """
    repeated = runs.duplicated([*keys, *ARM, "split", "seed"], keep=False)
    doubtful = repeated.groupby([runs[key] for key in (*keys, *ARM)]).transform("any")
    experiments = runs["experiment"].where(doubtful, "")
    arms = runs["arm"].where(~doubtful, runs["arm"] + ", " + experiments)
    return runs.assign(experiment=experiments, arm=arms)


def _groups(runs: pd.DataFrame, keys: list[str]) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    for values, group in runs.groupby(keys, sort=False):
        yield dict(zip(keys, values, strict=True)), group


def _counts(group: pd.DataFrame) -> dict[str, int]:
    evaluated = group["state"] == "evaluated"
    return {
        "n": int(evaluated.sum()),
        "runs_planned": len(group),
        "runs_missing": int((~evaluated).sum()),
        "runs_stale": int((evaluated & (group["stale"] != "")).sum()),
        "runs_changed": int((group["settings_changed"] != "").sum()),
        "videos_listed": int(group["videos_listed"].sum()),
        "videos_scored": int(group["videos_scored"].sum()),
        **({name: int(group[name].sum()) for name in GALLERY} if (group["task"] == "retrieve").all() else {}),
    }


def _summary(row: dict[str, Any], metric: str) -> Summary:
    stem, unit = metric.rsplit("_", 1)
    low, high = row[f"{stem}_ci95_low_{unit}"], row[f"{stem}_ci95_high_{unit}"]
    return Summary(row[f"{stem}_n"], row[f"{stem}_mean_{unit}"], row[f"{stem}_sd_{unit}"], low, high)


def mean_cell(row: dict[str, Any], metric: str, decimals: int) -> str:
    cell = mean_sd(
        _summary(row, metric), decimals, row["runs_missing"], row["runs_planned"], stale=row["runs_stale"] > 0
    )
    return cell + _changed(row)


def in_brackets(row: dict[str, Any]) -> str:
    return f" ({count(row['n'], row['runs_missing'], row['runs_planned'])})" if row["n"] else ""


def interval_cell(row: dict[str, Any], metric: str, decimals: int) -> str:
    summary = _summary(row, metric)
    return interval(summary.low, summary.high, decimals, stale=row["runs_stale"] > 0) if summary.n else _absent(row)


def plain_mean_cell(row: dict[str, Any], metric: str, decimals: int) -> str:
    summary = _summary(row, metric)
    return number(summary.mean, decimals, stale=row["runs_stale"] > 0) if summary.n else _absent(row)


def scored_cell(row: dict[str, Any]) -> str:
    return f"{row['videos_scored']}/{row['videos_listed']}" if row["n"] else MISSING


def range_cell(row: dict[str, Any], metric: str) -> str:
    """What follows a mean that could be another, at worst and best, since not every listed video was scored."""
    stem, unit = metric.rsplit("_", 1)
    ends = row[f"{stem}_lowest_{unit}"], row[f"{stem}_highest_{unit}"]
    unscored = row["videos_scored"] < row["videos_listed"]
    return f" {interval(*ends, 1)}" if unscored and not math.isnan(ends[0]) else ""


def scored_notes(tidy: pd.DataFrame, bounded: bool = True) -> list[str]:
    """What "scored" means, and, if there are any and they are shown, what the bounds are."""
    counted = "Scored: videos scored of those listed, summed over the runs."
    unscored = bounded and (tidy["videos_scored"] < tidy["videos_listed"]).any()
    return [counted, *([BOUNDS_NOTE] if unscored else [])]


def _absent(row: dict[str, Any]) -> str:
    """A value that no run has: since the runs are missing, or since there is no such value."""
    return MISSING + _changed(row) if row["n"] == 0 else NOT_APPLICABLE


def _changed(row: dict[str, Any]) -> str:
    return CHANGED if row["runs_changed"] else ""
