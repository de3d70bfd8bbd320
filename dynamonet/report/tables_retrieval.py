"""The table of retrieval: how often one of the nearest training videos has the class of the test video."""

from typing import Any

import pandas as pd

from dynamonet.report.arms import mean_cell, plain_mean_cell, scored_cell, summarise_arms
from dynamonet.report.collect import RETRIEVAL_METRICS, Study, init_title
from dynamonet.report.table_files import MISSING, Table, count

KINDS = {"pooled": "pooled", "dmr": "DMR"}


def retrieval_table(study: Study) -> Table | None:
    """One row per model, start and data set. None where no experiment of the study feeds the table."""
    runs = study.runs_feeding("retrieval").drop_duplicates("run")
    if runs.empty:
        return None
    tidy = summarise_arms(study, runs, ["dataset"], [f"{metric}_percent" for metric in RETRIEVAL_METRICS])
    readable = pd.DataFrame([_cells(study, row) for row in tidy.to_dict("records")])
    notes = [
        "R@k, in %: test videos of whose k nearest training videos, by the cosine of their features, one has the same "
        "class. Pooled: what the classifier is given, without the DMR; DMR: the filters less the identity, averaged "
        "over time. R@1: mean ± standard deviation over splits and seeds; others are means.",
        "Queries: test videos searched with, and gallery: training videos searched, of those listed; summed over the n "
        "runs.",
    ]
    return Table("retrieval", "Retrieval", tidy, readable, notes)


def _cells(study: Study, row: dict[str, Any]) -> dict[str, str]:
    cells = {
        "Model": study.model_title(row["model"]),
        "Data set": study.dataset_title(row["dataset"]),
        "Start": init_title(row["init"]),
    }
    for metric in RETRIEVAL_METRICS:
        kind, k = metric.split("_r")
        cell = mean_cell if k == "1" else plain_mean_cell
        cells[f"{KINDS[kind]} R@{k}"] = cell(row, f"{metric}_percent", 1)
    gallery = f"{row['gallery_used']}/{row['gallery_listed']}" if row["n"] else MISSING
    runs = count(row["n"], row["runs_missing"], row["runs_planned"])
    return {**cells, "n": runs, "Queries": scored_cell(row), "Gallery": gallery}
