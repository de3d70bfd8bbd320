"""The table of device hours: what the fits and the evaluations of each experiment took."""

from typing import Any

import pandas as pd

from dynamonet.records import Record
from dynamonet.report.collect import Study
from dynamonet.report.table_files import MISSING, STALE, Table, count, number

SECONDS = 3600


def compute_table(study: Study) -> Table:
    """One row per experiment and model, and one for the whole study, in which a shared run counts once."""
    groups = [(name, model, runs) for (name, model), runs in study.runs.groupby(["experiment", "model"], sort=False)]
    rows = [{"experiment": name, "model": model, **_hours(study, runs)} for name, model, runs in groups]
    everything = study.runs.drop_duplicates("run")
    tidy = pd.DataFrame([*rows, {"experiment": "", "model": "", **_hours(study, everything)}])
    readable = pd.DataFrame([_cells(study, row) for row in tidy.to_dict("records")])
    notes = [
        "Device hours: wall-clock hours × processes, one per device, GPU or CPU, of the recorded fits and of the "
        "evaluations and searches, without the work that a kill has lost. Weights evaluated as they are have no fit.",
        "A run that several experiments need counts in each of them, and once in the whole study.",
    ]
    return Table("compute", "Device hours", tidy, readable, notes)


def _hours(study: Study, runs: pd.DataFrame) -> dict[str, Any]:
    fits = [study.fits[run] for run in runs["run"] if run in study.fits]
    trained = [record for record in fits if record.get("stage") != "adopt"]
    evaluations = [study.evaluations[run] for run in runs["run"] if run in study.evaluations]
    row: dict[str, Any] = {
        "runs_planned": len(runs),
        "runs_evaluated": len(evaluations),
        "runs_stale": int((runs["stale"] != "").sum()),
        "fits": len(trained),
    }
    row |= {"fit_device_h": _sum(trained), "evaluation_device_h": _sum(evaluations)}
    row["device_h"] = row["fit_device_h"] + row["evaluation_device_h"]
    row["devices"] = "; ".join(sorted({_device(record) for record in [*trained, *evaluations]} - {""}))
    return row


def _sum(records: list[Record]) -> float:
    return sum(
        record.number("time.wall_s") * (record.find("provenance.world_size") or 1) / SECONDS for record in records
    )


def _device(record: Record) -> str:
    return record.find("provenance.device") or record.find("device") or ""


def _cells(study: Study, row: dict[str, Any]) -> dict[str, str]:
    mark = STALE if row["runs_stale"] else ""
    missing = row["runs_planned"] - row["runs_evaluated"]
    return {
        "Experiment": row["experiment"] or "the whole study",
        "Model": study.model_title(row["model"]) if row["model"] else "all",
        "Runs": count(row["runs_evaluated"], missing, row["runs_planned"]) + mark,
        "Fits h": _cell(row, "fit_device_h", row["fits"]),
        "Evaluations h": _cell(row, "evaluation_device_h", row["runs_evaluated"]),
        "Device hours": _cell(row, "device_h", row["fits"] + row["runs_evaluated"]),
        "Devices": row["devices"] or MISSING,
    }


def _cell(row: dict[str, Any], key: str, records: int) -> str:
    if not records:
        return MISSING if row["runs_planned"] > row["runs_evaluated"] else number(0.0, 2)
    return number(row[key], 2)
