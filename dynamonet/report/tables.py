"""The tables of results: accuracy, ablation, label efficiency and frame prediction.

Each function returns None where no experiment of the study feeds its table.
"""

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from dynamonet.errors import UserError
from dynamonet.report.collect import PSNR_METRICS, Study, init_title
from dynamonet.report.statistics import MINIMUM_N, PairedDifference, Summary, paired_difference, summarise_runs
from dynamonet.report.table_files import MISSING, NOT_APPLICABLE, Table, count, interval, mean_sd, number, units

ARM = ["model", "init", "label_fraction"]
TOP1 = "top1_percent"
INTERVAL_NOTE = (
    "Intervals: 95 %, Student t over seeds after averaging the splits of a seed, or over splits where there is one "
    f"seed; given from n = {MINIMUM_N}."
)


def accuracy_table(study: Study) -> Table | None:
    runs = study.runs_feeding("accuracy").drop_duplicates("run")
    if runs.empty:
        return None
    tidy = _tidy(study, runs, ["dataset"], [TOP1, "top5_percent", "mean_class_accuracy_percent"])
    columns: dict[tuple[str, str], dict[str, str]] = {("", "Model"): {arm: arm for arm in tidy["arm"]}}
    for row in tidy.to_dict("records"):
        title = study.dataset_title(row["dataset"])
        cells = {
            "top-1 % (n)": _cell(row, TOP1, 1) + _in_brackets(row),
            "top-5 %": _mean(row, "top5_percent", 1),
            "class mean %": _mean(row, "mean_class_accuracy_percent", 1),
            "scored": f"{row['videos_scored']}/{row['videos_listed']}" if row["n"] else MISSING,
        }
        for name, cell in cells.items():
            columns.setdefault((title, name), {})[row["arm"]] = cell
    readable = pd.DataFrame({key: pd.Series(column) for key, column in columns.items()})
    readable = readable.reindex(list(dict.fromkeys(tidy["arm"]))).fillna(NOT_APPLICABLE)
    notes = [
        "Top-1: mean ± standard deviation over splits and seeds; n runs; top-5 and class mean are means; no top-5 "
        "with five classes or fewer.",
        "Scored: videos scored of those officially listed, summed over the runs.",
        *_start_notes(study, tidy),
    ]
    return Table("accuracy", "Accuracy", tidy, readable, notes)


def ablation_table(study: Study) -> Table | None:
    """One block per experiment and data set; each arm is compared with the first arm that is listed."""
    runs = study.runs_feeding("ablation")
    if runs.empty:
        return None
    # In listing order: the first arm of an experiment is the reference of its block.
    blocks = []
    for _, block in runs.sort_index().groupby(["experiment", "dataset"], sort=False):
        arms = [arm for _, arm in block.groupby(ARM, sort=False)]
        differences = [None, *(_difference(arm, arms[0]) for arm in arms[1:])]
        tidy = _tidy(study, block, ["experiment", "dataset"], [TOP1, "psnr_db"])
        tidy = tidy.assign(reference=tidy["arm"].iloc[0])
        blocks.append(tidy.assign(**_difference_columns(differences)))
    tidy = pd.concat(blocks, ignore_index=True)
    readable = pd.DataFrame([_ablation_cells(study, row) for row in tidy.to_dict("records")])
    notes = [
        INTERVAL_NOTE,
        "Difference: from the first row of the experiment, paired by split and seed; its interval is taken "
        "over seeds after averaging the splits of a seed, or over splits where there is one seed.",
    ]
    return Table("ablation", "Ablation", tidy, readable, notes)


def label_efficiency_table(study: Study) -> Table | None:
    runs = study.runs_feeding("label_efficiency").drop_duplicates("run")
    if runs.empty:
        return None
    tidy = _tidy(study, runs, ["dataset"], [TOP1])
    readable = pd.DataFrame(
        {
            "Model": study.model_title(row["model"]),
            "Data set": study.dataset_title(row["dataset"]),
            "Start": init_title(row["init"]),
            "Labels %": f"{100 * row['label_fraction']:g}",
            "Top-1 %": _cell(row, TOP1, 1),
            "95 % interval": _interval(row, TOP1, 1),
            "n": count(row["n"], row["runs_missing"], row["runs_planned"]),
        }
        for row in tidy.to_dict("records")
    )
    return Table("label_efficiency", "Label efficiency", tidy, readable, [INTERVAL_NOTE])


def frame_prediction_table(study: Study) -> Table | None:
    runs = study.runs_feeding("frame_prediction").drop_duplicates("run")
    if runs.empty:
        return None
    runs = runs.assign(
        gain_db=runs["psnr_db"] - runs["psnr_copy_db"],
        future_gain_db=runs["psnr_future_db"] - runs["psnr_future_copy_db"],
    )
    tidy = _tidy(study, runs, ["task", "dataset"], [*PSNR_METRICS, "gain_db", "future_gain_db"])
    silent = (tidy["psnr_n"] == 0) & (tidy["n"] > 0)
    notes = [
        "Mean ± standard deviation of the PSNR of frames 2 to T + 1, each predicted from the one before; copy: of "
        "repeating that one. The network has seen frames 2 to T; last gain: that of frame T + 1, which it has not."
    ]
    notes += _start_notes(study, tidy)
    if silent.any():
        names = ", ".join(dict.fromkeys(tidy.loc[silent, "arm"]))
        notes.append(f"Left out, since they predict no frames: {names}.")
    tidy = tidy[~silent].reset_index(drop=True)
    if tidy.empty:
        return None
    readable = pd.DataFrame(
        {
            "Model": row["arm"],
            "After": {"pretrain": "pretraining", "train": "training"}[row["task"]],
            "Data set": study.dataset_title(row["dataset"]),
            "Prediction dB": _cell(row, "psnr_db", 2),
            "Copy dB": _cell(row, "psnr_copy_db", 2),
            "Gain dB": _cell(row, "gain_db", 2),
            "Last gain dB": _cell(row, "future_gain_db", 2),
            "n": count(row["psnr_n"], row["runs_missing"], row["runs_planned"]),
        }
        for row in tidy.to_dict("records")
    )
    return Table("frame_prediction", "Frame prediction (PSNR)", tidy, readable, notes)


def _start_notes(study: Study, tidy: pd.DataFrame) -> list[str]:
    """Where all models of a data set start alike, their names leave it out: say it here."""
    starts = tidy.groupby("dataset", sort=False)["init"].agg(["nunique", "first"])
    shared = starts[(starts["nunique"] == 1) & (starts["first"] != "scratch")]["first"]
    titles = [f"{study.dataset_title(dataset)} {init_title(init)}" for dataset, init in shared.items()]
    return [f"Start: {', '.join(titles)}."] if titles else []


def _tidy(study: Study, runs: pd.DataFrame, extra_keys: list[str], metrics: list[str]) -> pd.DataFrame:
    """One row per arm and `extra_keys`, with counts and each metric's summary. Arms are never pooled."""
    runs = runs.assign(arm=study.arm_labels(runs, extra_keys))
    repeated = runs.duplicated([*extra_keys, *ARM, "split", "seed"])
    if repeated.any():
        raise UserError(
            f"{study.plan.path}: run {runs.loc[repeated, 'run'].iloc[0]} and another that differs in its recipe only "
            "would be averaged: let one of their experiments feed the table."
        )
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
            row |= {f"{stem}_ci95_low_{unit}": summary.low, f"{stem}_ci95_high_{unit}": summary.high}
        rows.append(row)
    return pd.DataFrame(rows)


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
        "videos_listed": int(group["videos_listed"].sum()),
        "videos_scored": int(group["videos_scored"].sum()),
    }


def _summary(row: dict[str, Any], metric: str) -> Summary:
    stem, unit = metric.rsplit("_", 1)
    low, high = row[f"{stem}_ci95_low_{unit}"], row[f"{stem}_ci95_high_{unit}"]
    return Summary(row[f"{stem}_n"], row[f"{stem}_mean_{unit}"], row[f"{stem}_sd_{unit}"], low, high)


def _cell(row: dict[str, Any], metric: str, decimals: int) -> str:
    return mean_sd(
        _summary(row, metric), decimals, row["runs_missing"], row["runs_planned"], stale=row["runs_stale"] > 0
    )


def _in_brackets(row: dict[str, Any]) -> str:
    return f" ({count(row['n'], row['runs_missing'], row['runs_planned'])})" if row["n"] else ""


def _interval(row: dict[str, Any], metric: str, decimals: int) -> str:
    summary = _summary(row, metric)
    return interval(summary.low, summary.high, decimals) if summary.n else _absent(row)


def _mean(row: dict[str, Any], metric: str, decimals: int) -> str:
    summary = _summary(row, metric)
    return number(summary.mean, decimals) if summary.n else _absent(row)


def _absent(row: dict[str, Any]) -> str:
    """A value that no run has: since the runs are missing, or since there is no such value."""
    return MISSING if row["n"] == 0 else NOT_APPLICABLE


def _difference(arm: pd.DataFrame, reference: pd.DataFrame) -> PairedDifference | None:
    keys = ["dataset", "split", "seed"]
    pairs = arm[[*keys, TOP1]].merge(reference[[*keys, TOP1]], on=keys).dropna()
    pairs = pairs.rename(columns={f"{TOP1}_x": "treatment", f"{TOP1}_y": "control"})
    return paired_difference(pairs) if len(pairs) else None


def _difference_columns(differences: list[PairedDifference | None]) -> dict[str, list[Any]]:
    return {
        "difference_points": [d.difference.mean if d else math.nan for d in differences],
        "difference_ci95_low_points": [d.difference.low if d else math.nan for d in differences],
        "difference_ci95_high_points": [d.difference.high if d else math.nan for d in differences],
        "difference_pairs": [d.difference.n if d else 0 for d in differences],
        "difference_paired_over": [d.paired_over if d else "" for d in differences],
    }


def _ablation_cells(study: Study, row: dict[str, Any]) -> dict[str, str]:
    return {
        "Experiment": row["experiment"],
        "Data set": study.dataset_title(row["dataset"]),
        "Model": row["arm"],
        "Top-1 %": _cell(row, TOP1, 1),
        "95 % interval": _interval(row, TOP1, 1),
        "n": count(row["n"], row["runs_missing"], row["runs_planned"]),
        **_difference_cells(row),
        "PSNR dB": _mean(row, "psnr_db", 2),
    }


def _difference_cells(row: dict[str, Any]) -> dict[str, str]:
    headers = ("Difference, points", "its 95 % interval", "pairs")
    if row["arm"] == row["reference"]:
        return dict(zip(headers, ("reference", NOT_APPLICABLE, NOT_APPLICABLE), strict=True))
    if not row["difference_pairs"]:
        return dict.fromkeys(headers, MISSING)
    bounds = row["difference_ci95_low_points"], row["difference_ci95_high_points"]
    difference = number(row["difference_points"], 1, signed=True)
    pairs = units(row["difference_pairs"], row["difference_paired_over"])
    return dict(zip(headers, (difference, interval(*bounds, 1, signed=True), pairs), strict=True))
