"""Which runs and which files every readable cell of a table was computed from: `<table>.sources.csv`."""

from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd

from dynamonet.published import COSTS
from dynamonet.records import Record
from dynamonet.report.collect import Study
from dynamonet.report.effects import effect_runs
from dynamonet.report.table_files import Table

LABELS = {
    "accuracy": 1,
    "comparison": 3,
    "pairs": 6,
    "ablation": 3,
    "label_efficiency": 4,
    "frame_prediction": 3,
    "horizon": 4,
    "retrieval": 3,
    "cost": 1,
    "runtime": 1,
    "compute": 2,
    "fairness": 3,
    "datasets": 1,
    "checklist": 1,
    "runs": 1,
    "effects": 1,
    "claims": ("Claim", "What", "Metric", "Data set", "Published", "Tolerance", "Ours is", "Protocol", "Source"),
}
"""How many columns of a table name its rows, or which; the others hold what was computed."""
FEEDS = {"comparison": "accuracy", "horizon": "frame_prediction"}
"""Tables that study files do not name -> the one whose experiments feed them."""
IDENTITY = ("experiment", "task", "dataset", "model", "init", "label_fraction")
JOINT = "; "


def runs_behind(study: Study, key: str, row: dict[str, Any]) -> list[str]:
    """The planned runs of a tidy row of table `key`; none for a table of models or data sets."""
    if key == "effects":
        return effect_runs(study, row["effect"])
    if key == "runs":
        return [row["run"]]
    if key == "pairs":
        return [row["run"], row["reference_run"]]
    if key in ("cost", "datasets", "fairness", "checklist") or (key == "claims" and row["metric"] in COSTS):
        return []
    fields = tuple(field for field in IDENTITY if row.get(field, "") != "")
    if key == "claims":
        row, fields = {**row, "searched": row["metric"].startswith("pooled")}, (*fields, "searched")
    if (key, fields) not in study.grouped_runs:
        runs = _runs_feeding(study, key)
        groups = runs.groupby(list(fields), sort=False) if fields else [((), runs)]
        study.grouped_runs[key, fields] = {keys: list(dict.fromkeys(group["run"])) for keys, group in groups}
    return study.grouped_runs[key, fields].get(tuple(row[field] for field in fields), [])


def _runs_feeding(study: Study, key: str) -> pd.DataFrame:
    runs = study.runs
    if key == "runtime":
        return runs[runs["label_fraction"] == runs["label_fraction"].max()]
    if key == "claims":
        return runs[runs["label_fraction"] == 1].assign(searched=runs["task"] == "retrieve")
    return runs if key == "compute" else study.runs_feeding(FEEDS.get(key, key))


def cell_sources(study: Study, table: Table) -> pd.DataFrame:
    """One row per cell: what it is in, its text, the planned runs behind it, and the files it was computed from.

    A run without a file among them was missing. Files are relative to the study's folder; what was published has none.
    """
    flat, names = table.flat, naming_columns(table)
    facts, firsts = _facts(study, table), _first_of_each_block(table)
    rows = []
    for place, cells in enumerate(flat.to_dict("records")):
        for column in (column for column in flat.columns if column not in names):
            row = facts(place, column)
            runs = runs_behind(study, table.key, row) if row is not None else []
            if row is not None and firsts and _is_difference(column):
                runs = [*runs, *runs_behind(study, table.key, _reference(firsts, row))]
            runs = list(dict.fromkeys(runs))
            rows.append(
                {
                    "row": JOINT.join(cells[name] for name in names),
                    "column": column,
                    "value": cells[column],
                    "runs": JOINT.join(runs),
                    "records": JOINT.join(_files(study, table.key, row, column, runs)),
                }
            )
    return pd.DataFrame(rows, columns=["row", "column", "value", "runs", "records"])


def naming_columns(table: Table) -> list[str]:
    """The columns that name a table's rows; the others hold what was computed."""
    labels = LABELS[table.key]
    return list(table.flat.columns[:labels]) if isinstance(labels, int) else list(labels)


def _facts(study: Study, table: Table) -> Callable[[int, str], dict[str, Any] | None]:
    """The tidy row behind a cell. The table of accuracy alone has several of them in one readable row."""
    tidy = table.tidy.to_dict("records")
    if table.key != "accuracy":
        return lambda place, column: tidy[place]
    of_cell = {(row["arm"], study.dataset_title(row["dataset"])): row for row in tidy}
    arms = list(table.flat.iloc[:, 0])
    return lambda place, column: of_cell.get((arms[place], column.partition(": ")[0]))


def _first_of_each_block(table: Table) -> dict[tuple[str, str], dict[str, Any]]:
    """The tidy rows that others are compared with, by experiment and data set."""
    rows = table.tidy.to_dict("records") if table.key in ("ablation", "comparison") else []
    return {(row["experiment"], row["dataset"]): row for row in reversed(rows)}


def _reference(firsts: dict[tuple[str, str], dict[str, Any]], row: dict[str, Any]) -> dict[str, Any]:
    """The tidy row that a row is compared with: the first of its block, or itself in the experiment that is named."""
    elsewhere = row.get("reference_experiment", row["experiment"])
    same = elsewhere == row["experiment"]
    return firsts[row["experiment"], row["dataset"]] if same else {**row, "experiment": elsewhere}


def _is_difference(column: str) -> bool:
    return column.startswith(("Difference", "its", "pairs", "McNemar"))


def _files(study: Study, key: str, row: dict[str, Any] | None, column: str, runs: list[str]) -> list[str]:
    if row is None or column.startswith("Published"):
        return []
    if key == "fairness":
        return ["study.json"]
    if key == "checklist":
        manifests = [f"manifests/{name}.json" for name in study.manifests]
        of_runs = [path for records in (study.fits, study.evaluations) for path in _of_runs(records, records)]
        return ["study.json", *manifests, *of_runs]
    if key == "datasets":
        return [f"manifests/{row['dataset']}.json"] if row["dataset"] in study.manifests else []
    if key == "cost" or (key == "claims" and row["metric"] in COSTS):
        return _measure(study, row)
    if key == "runtime" and not column.startswith(("Pretraining", "Training", "Waiting")):
        return _measure(study, row)
    fits = _of_runs(study.fits, runs)
    if key == "runtime":
        return fits
    evaluations = _of_runs(study.evaluations, runs)
    if key in ("runs", "compute"):
        return fits + evaluations
    over_videos = column.endswith("over videos") or (key == "comparison" and _is_difference(column)) or key == "pairs"
    scores = [f"runs/{run}/logits.parquet" for run in runs if run in study.evaluations]
    if over_videos:
        return scores
    if key == "claims" and row["interval_over"] == "videos":
        return evaluations + scores
    return evaluations


def _measure(study: Study, row: dict[str, Any]) -> list[str]:
    return [f"measure/{row['model']}.json"] if row["model"] in study.measures else []


def _of_runs(records: dict[str, Record], runs: Iterable[str]) -> list[str]:
    return [f"runs/{run}/{records[run].path.name}" for run in runs if run in records]
