"""The tables of `measure --all`: cost beside the published one, and speed."""

from typing import Any

import pandas as pd

from dynamonet.models.card import PublishedValue
from dynamonet.models.catalogue import model_module
from dynamonet.records import Record
from dynamonet.report.table_files import NOT_APPLICABLE, Table, number
from dynamonet.report.tables_records import speed_cells, speed_values

TOLERANCE = {"parameters": 0.002, "gmacs": 0.015}
"""By how much of the published value ours may be off, after both count the same."""
COUNTS = {
    "fvcore": ("gmacs_per_clip", "as ours"),
    "products": ("gmacs_products_per_clip", "products"),
    "training_norms": ("gmacs_training_norms_per_clip", "norms as in training"),
}
"""`PublishedValue.counting` -> its key in a record's metrics, and what the table calls it."""
NOTES = (
    "Input: frames × stride × crop in pixels.",
    "GMACs: 10⁹ multiply-accumulates of one clip as fvcore counts them at inference: products, two per element of a "
    "batch norm, five of a layer norm.",
    "Published figures count otherwise. products: convolutions and matrix products alone. norms as in training: five "
    "per element of a batch norm too, which is what fvcore counts while a network is in training mode. Ratio: what we "
    "count in the published way, over the published figure.",
)
PACKAGES = ("torch", "torchvision", "pytorchvideo", "fvcore")


def zoo_table(records: dict[str, Record], failures: dict[str, str]) -> Table:
    """One row per measured model; those that failed are named below."""
    tidy = pd.DataFrame([_row(name, record) for name, record in records.items()])
    readable = pd.DataFrame(
        {
            "Model": row["title"],
            "Input": "×".join(str(row[part]) for part in ("frames", "stride", "crop")),
            "Parameters M": number(row["parameters_m"], 3),
            "Published M": number(row["published_parameters_m"], 2),
            "Ratio of parameters": number(row["parameters_ratio"], 4),
            "GMACs": number(row["gmacs_per_clip"], 3),
            "Products": number(row["gmacs_products_per_clip"], 3),
            "Norms as in training": number(row["gmacs_training_norms_per_clip"], 3),
            "Published GMACs": number(row["published_gmacs"], 2),
            "Published count": COUNTS[row["published_counting"]][1] if row["published_counting"] else NOT_APPLICABLE,
            "Ratio of GMACs": number(row["gmacs_ratio"], 4),
            "Views": str(row["views_per_video"]),
        }
        for row in tidy.to_dict("records")
    )
    return Table("zoo", "Cost of every model beside the published one", tidy, readable, _notes(records, failures, tidy))


def speed_table(records: dict[str, Record]) -> Table:
    rows = {name: speed_values(record) for name, record in records.items()}
    titles = {name: model_module(name).CARD.title for name in rows}
    tidy = pd.DataFrame([{"model": name, "title": titles[name], **row} for name, row in rows.items()])
    readable = pd.DataFrame({"Model": titles[name], **speed_cells(row)} for name, row in rows.items())
    return Table("zoo_speed", "Speed of every model", tidy, readable)


def deviations(tidy: pd.DataFrame) -> list[str]:
    """One sentence for each published number that the row of its model in the zoo's table does not meet."""
    return [
        f"model {row['model']!r}: its {what} are {row[f'{what}_ratio']:.4f} times the published ones, which is beyond "
        f"{100 * tolerance:g} %: correct its card (value, input or counting) or its network"
        for row in tidy.to_dict("records")
        for what, tolerance in TOLERANCE.items()
        if abs(row[f"{what}_ratio"] - 1) > tolerance
    ]


def _row(name: str, record: Record) -> dict[str, Any]:
    card = model_module(name).CARD
    parameters = _published(card.published, "parameters_m")
    gmacs = _published(card.published, "gmacs_per_clip")
    counting = (gmacs.counting or "fvcore") if gmacs else ""
    row: dict[str, Any] = {"model": name, "title": card.title}
    row |= {part: record.get(f"clip.{part}") for part in ("frames", "stride", "crop")}
    row["classes"] = record.get("counts.classes")
    row["parameters_m"] = record.number("metrics.parameters_m")
    row["published_parameters_m"] = parameters.value if parameters else float("nan")
    row["parameters_ratio"] = row["parameters_m"] / row["published_parameters_m"]
    for key, _ in COUNTS.values():
        row[key] = record.number(f"metrics.{key}")
    row["published_gmacs"] = gmacs.value if gmacs else float("nan")
    row["published_counting"] = counting
    row["gmacs_ratio"] = row[COUNTS[counting][0]] / gmacs.value if gmacs else float("nan")
    row["views_per_video"] = record.get("metrics.views_per_video")
    row["gmacs_per_video"] = record.number("metrics.gmacs_per_video")
    row["published_source"] = "; ".join(dict.fromkeys(value.source for value in (parameters, gmacs) if value))
    return row


def _published(values: tuple[PublishedValue, ...], metric: str) -> PublishedValue | None:
    return next((value for value in values if value.metric == metric), None)


def _notes(records: dict[str, Record], failures: dict[str, str], tidy: pd.DataFrame) -> list[str]:
    notes = list(NOTES)
    if sources := dict.fromkeys(tidy.get("published_source", [])):
        notes.append(f"Published in: {'; '.join(filter(None, sources))}.")
    for record in records.values():
        versions = record.get("provenance.packages")
        notes.append(f"Counted with {', '.join(f'{name} {versions[name]}' for name in PACKAGES)}.")
        break
    if failures:
        notes.append(f"Missing: {', '.join(failures)}.")
    return notes
