"""The table of frame prediction by horizon: the first frame after the clip, the second, and so on."""

from typing import Any

import pandas as pd

from dynamonet.errors import UserError
from dynamonet.report.arms import mean_cell, start_notes, summarise_arms
from dynamonet.report.collect import Study
from dynamonet.report.table_files import Table, count

HORIZON, HORIZON_COPY = "metrics.psnr_horizon_db", "metrics.psnr_horizon_copy_db"
METRICS = ["psnr_db", "copy_db", "gain_db"]
AFTER = {"pretrain": "pretraining", "train": "training", "evaluate": "no training"}


def horizon_table(study: Study) -> Table | None:
    """One row per arm, data set and frame after the clip. None where no run of the study has predicted one."""
    runs = study.runs_feeding("frame_prediction").drop_duplicates("run")
    horizons = {run: _horizon(study, run) for run in runs["run"] if run in study.evaluations}
    longest = max((len(values) for values in horizons.values()), default=0)
    if not longest:
        return None
    # An arm of which no run predicts has no rows; a missing run of one that does is counted in each.
    arm = ["task", "dataset", "model", "init", "label_fraction"]
    predicts = runs.groupby(arm)["run"].transform(lambda names: any(len(horizons.get(name, ())) for name in names))
    steps = []
    for step in range(longest):
        values = [horizons.get(run, [])[step : step + 1] or [(float("nan"),) * 2] for run in runs["run"]]
        prediction, copy = zip(*(of_run[0] for of_run in values), strict=True)
        frame = runs.assign(step=step + 1, psnr_db=prediction, copy_db=copy)
        steps.append(frame.assign(gain_db=frame["psnr_db"] - frame["copy_db"])[predicts])
    tidy = pd.concat(
        [summarise_arms(study, frame, ["task", "dataset", "step"], METRICS) for frame in steps], ignore_index=True
    )
    tidy = tidy[(tidy["psnr_n"] > 0) | (tidy["step"] == 1)]
    tidy = tidy.sort_values(["task", "dataset", "arm"], key=_in_order, kind="stable", ignore_index=True)
    readable = pd.DataFrame([_cells(study, row) for row in tidy.to_dict("records")])
    notes = [
        "PSNR of the frames after the clip, none of which the network has seen: mean ± standard deviation over splits "
        "and seeds. Frame T + h is the filters of frame T applied h times; copy: of repeating frame T.",
        *start_notes(study, tidy),
    ]
    return Table("horizon", "Frame prediction by horizon (PSNR)", tidy, readable, notes)


def _in_order(column: pd.Series) -> pd.Series:
    return pd.Series(pd.factorize(column)[0], column.index)


def _horizon(study: Study, run: str) -> list[tuple[float, float]]:
    """(prediction, copy) in dB of each frame after the clip; empty for a network that predicts none."""
    record = study.evaluations[run]
    predicted, copied = record.find(HORIZON), record.find(HORIZON_COPY)
    if predicted is None:
        return []
    if copied is None or len(copied) != len(predicted):
        raise UserError(f"{record.path} holds other numbers of frames at {HORIZON} and {HORIZON_COPY}: evaluate again.")
    return list(zip(predicted, copied, strict=True))


def _cells(study: Study, row: dict[str, Any]) -> dict[str, str]:
    return {
        "Model": row["arm"],
        "After": AFTER[row["task"]],
        "Data set": study.dataset_title(row["dataset"]),
        "Frame": f"T + {row['step']}",
        "Prediction dB": mean_cell(row, "psnr_db", 2),
        "Copy dB": mean_cell(row, "copy_db", 2),
        "Gain dB": mean_cell(row, "gain_db", 2),
        "n": count(row["psnr_n"], row["runs_missing"], row["runs_planned"]),
    }
