"""The tables of results: accuracy, ablation, label efficiency and frame prediction.

Each function returns None where no experiment of the study feeds its table.
"""

import math
from typing import Any

import pandas as pd

from dynamonet.report.arms import (
    ARM,
    any_stale,
    in_brackets,
    interval_cell,
    mean_cell,
    plain_mean_cell,
    range_cell,
    scored_cell,
    scored_notes,
    start_notes,
    summarise_arms,
)
from dynamonet.report.collect import PERCENT_METRICS, PSNR_METRICS, Study, init_title
from dynamonet.report.statistics import MINIMUM_N, PairedDifference, paired_difference
from dynamonet.report.table_files import MISSING, NOT_APPLICABLE, Table, count, interval, number, units

TOP1, CLASS_MEAN = "top1_percent", "mean_class_accuracy_percent"
INTERVAL_NOTE = (
    "Intervals: 95 %, Student t over seeds after averaging the splits of a seed, or over splits where there is one "
    f"seed; given from n = {MINIMUM_N}, and cut to 0 to 100 %."
)


def accuracy_table(study: Study) -> Table | None:
    runs = study.runs_feeding("accuracy").drop_duplicates("run")
    if runs.empty:
        return None
    metrics = [f"{metric}_percent" for metric in PERCENT_METRICS]
    tidy = summarise_arms(study, runs, ["dataset"], metrics, bounds=metrics)
    columns: dict[tuple[str, str], dict[str, str]] = {("", "Model"): {arm: arm for arm in tidy["arm"]}}
    for row in tidy.to_dict("records"):
        title = study.dataset_title(row["dataset"])
        cells = {
            "top-1 % (n)": mean_cell(row, TOP1, 1) + in_brackets(row) + range_cell(row, TOP1),
            "top-5 %": plain_mean_cell(row, "top5_percent", 1) + range_cell(row, "top5_percent"),
            "class mean %": plain_mean_cell(row, CLASS_MEAN, 1) + range_cell(row, CLASS_MEAN),
            "scored": scored_cell(row),
        }
        for name, cell in cells.items():
            columns.setdefault((title, name), {})[row["arm"]] = cell
    readable = pd.DataFrame({key: pd.Series(column) for key, column in columns.items()})
    readable = readable.reindex(list(dict.fromkeys(tidy["arm"]))).fillna(NOT_APPLICABLE)
    notes = [
        "Top-1: mean ± standard deviation over splits and seeds; n runs; top-5 and class mean are means; no top-5 "
        "with five classes or fewer.",
        *scored_notes(tidy),
        *start_notes(study, tidy),
    ]
    return Table("accuracy", "Accuracy", tidy, readable, notes)


def ablation_table(study: Study) -> Table | None:
    """One block per experiment and data set; each arm is compared with the first arm that is listed.

    Where an experiment names another one as its reference, each is compared with the same arm there.
    """
    runs = study.runs_feeding("ablation")
    if runs.empty:
        return None
    # In listing order: the first arm of an experiment is the reference of its block.
    blocks = []
    for (experiment, _), block in runs.sort_index().groupby(["experiment", "dataset"], sort=False):
        arms = [arm for _, arm in block.groupby(ARM, sort=False)]
        elsewhere = study.experiments[experiment].get("reference")
        references = [_same_arm(study, arm, elsewhere) if elsewhere else arms[0] for arm in arms]
        pairs = list(zip(arms, references, strict=True))
        differences = [None if arm is reference else _difference(arm, reference) for arm, reference in pairs]
        stale = [arm is not reference and any_stale(arm, reference) for arm, reference in pairs]
        tidy = summarise_arms(study, block, ["experiment", "dataset"], [TOP1, "psnr_db"], bounds=[TOP1])
        tidy = tidy.assign(
            reference_experiment=elsewhere or experiment,
            reference=tidy["arm"] + f", {elsewhere}" if elsewhere else tidy["arm"].iloc[0],
            reference_mean_percent=[reference[TOP1].mean() for reference in references],
        )
        blocks.append(tidy.assign(**_difference_columns(differences), difference_stale=stale))
    tidy = pd.concat(blocks, ignore_index=True)
    readable = pd.DataFrame([_ablation_cells(study, row) for row in tidy.to_dict("records")])
    notes = [
        INTERVAL_NOTE,
        "Difference: from the first row of the experiment, or from the same row of the experiment that it names as its "
        "reference, paired by split and seed; its interval is taken over seeds after averaging "
        "the splits of a seed, or over splits where there is one seed.",
        *scored_notes(tidy),
    ]
    return Table("ablation", "Ablation", tidy, readable, notes)


def label_efficiency_table(study: Study) -> Table | None:
    runs = study.runs_feeding("label_efficiency").drop_duplicates("run")
    if runs.empty:
        return None
    tidy = summarise_arms(study, runs, ["dataset"], [TOP1], bounds=[TOP1])
    readable = pd.DataFrame(
        {
            "Model": study.model_title(row["model"]),
            "Data set": study.dataset_title(row["dataset"]),
            "Start": init_title(row["init"]),
            "Labels %": f"{100 * row['label_fraction']:g}",
            "Top-1 %": mean_cell(row, TOP1, 1) + range_cell(row, TOP1),
            "95 % interval": interval_cell(row, TOP1, 1),
            "n": count(row["n"], row["runs_missing"], row["runs_planned"]),
            "Scored": scored_cell(row),
        }
        for row in tidy.to_dict("records")
    )
    return Table("label_efficiency", "Label efficiency", tidy, readable, [INTERVAL_NOTE, *scored_notes(tidy)])


def frame_prediction_table(study: Study) -> Table | None:
    runs = study.runs_feeding("frame_prediction").drop_duplicates("run")
    if runs.empty:
        return None
    runs = runs.assign(
        gain_db=runs["psnr_db"] - runs["psnr_copy_db"],
        future_gain_db=runs["psnr_future_db"] - runs["psnr_future_copy_db"],
    )
    tidy = summarise_arms(study, runs, ["task", "dataset"], [*PSNR_METRICS, "gain_db", "future_gain_db"])
    silent = (tidy["psnr_n"] == 0) & (tidy["n"] > 0)
    notes = [
        "Mean ± standard deviation of the PSNR of frames 2 to T + 1, each predicted from the one before; copy: of "
        "repeating that one. The network has seen frames 2 to T; last gain: that of frame T + 1, which it has not."
    ]
    notes += [*scored_notes(tidy, bounded=False), *start_notes(study, tidy)]
    if silent.any():
        names = ", ".join(dict.fromkeys(tidy.loc[silent, "arm"]))
        notes.append(f"Left out, since they predict no frames: {names}.")
    tidy = tidy[~silent].reset_index(drop=True)
    if tidy.empty:
        return None
    readable = pd.DataFrame(
        {
            "Model": row["arm"],
            "After": {"pretrain": "pretraining", "train": "training", "evaluate": "no training"}[row["task"]],
            "Data set": study.dataset_title(row["dataset"]),
            "Prediction dB": mean_cell(row, "psnr_db", 2),
            "Copy dB": mean_cell(row, "psnr_copy_db", 2),
            "Gain dB": mean_cell(row, "gain_db", 2),
            "Last gain dB": mean_cell(row, "future_gain_db", 2),
            "n": count(row["psnr_n"], row["runs_missing"], row["runs_planned"]),
            "Scored": scored_cell(row),
        }
        for row in tidy.to_dict("records")
    )
    return Table("frame_prediction", "Frame prediction (PSNR)", tidy, readable, notes)


def _same_arm(study: Study, arm: pd.DataFrame, experiment: str) -> pd.DataFrame:
    """The runs of an experiment that are of the same data set, model, start and share of labels."""
    keys = ["dataset", *ARM]
    runs = study.runs[study.runs["experiment"] == experiment]
    return runs[(runs[keys] == arm[keys].iloc[0]).all(axis=1)]


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
        "Model": row["arm"],
        "Experiment": row["experiment"],
        "Data set": study.dataset_title(row["dataset"]),
        "Top-1 %": mean_cell(row, TOP1, 1) + range_cell(row, TOP1),
        "95 % interval": interval_cell(row, TOP1, 1),
        "n": count(row["n"], row["runs_missing"], row["runs_planned"]),
        **_difference_cells(row),
        "PSNR dB": plain_mean_cell(row, "psnr_db", 2),
        "Scored": scored_cell(row),
    }


def _difference_cells(row: dict[str, Any]) -> dict[str, str]:
    headers = ("Difference, points", "its 95 % interval", "pairs")
    if row["arm"] == row["reference"]:
        return dict(zip(headers, ("reference", NOT_APPLICABLE, NOT_APPLICABLE), strict=True))
    if not row["difference_pairs"]:
        return dict.fromkeys(headers, MISSING)
    ends = row["difference_ci95_low_points"], row["difference_ci95_high_points"]
    stale = row["difference_stale"]
    difference = number(row["difference_points"], 1, signed=True, stale=stale)
    pairs = units(row["difference_pairs"], row["difference_paired_over"])
    return dict(zip(headers, (difference, interval(*ends, 1, signed=True, stale=stale), pairs), strict=True))
