"""Effects: what the study itself claims. Each compares two selections of runs, pair by pair, for a verdict."""

import math
from typing import Any, NamedTuple

import pandas as pd

from dynamonet.errors import UserError
from dynamonet.report.collect import RUN_FIELDS, Study
from dynamonet.report.statistics import MINIMUM_N, paired_difference, verdict
from dynamonet.report.table_files import NOT_APPLICABLE, STALE, Table, interval, number, units


class Metric(NamedTuple):
    """What a claim may be about."""

    column: str
    title: str
    unit: str
    difference_unit: str
    decimals: int


# Where the study file says top1, the runs hold top1_percent; differences of percentages are points.
METRICS = {
    "top1": Metric("top1_percent", "Top-1", "%", "points", 1),
    "top5": Metric("top5_percent", "Top-5", "%", "points", 1),
    "mean_class_accuracy": Metric("mean_class_accuracy_percent", "Class mean", "%", "points", 1),
    "psnr_db": Metric("psnr_db", "PSNR", "dB", "dB", 2),
}
PAIR_KEYS = ["dataset", "split", "seed"]


def effects_table(study: Study) -> Table | None:
    claims = study.plan.get("claims")
    if not claims:
        return None
    tidy = pd.DataFrame([_judge(study, name, claim) for name, claim in claims.items()])
    readable = pd.DataFrame([_cells(row) for row in tidy.to_dict("records")])
    notes = [
        "Difference: treatment minus control over pairs of equal data set, split and seed, with its 95 % "
        "Student t interval. The splits of a seed are averaged first and the interval is taken over seeds; "
        "with one seed it is taken over splits, which share training videos, so that it is then too narrow.",
        f"A verdict needs {MINIMUM_N} pairs and every run. Intervals are not adjusted for the number of effects.",
    ]
    return Table("effects", "Effects: what the study itself tests", tidy, readable, notes)


def effect_runs(study: Study, name: str) -> list[str]:
    """The runs of both sides of an effect."""
    claim = study.plan.get("claims")[name]
    sides = [_select(study, claim[side], f"claim '{name}'")["run"] for side in ("treatment", "control")]
    return list(dict.fromkeys(pd.concat(sides)))


def _judge(study: Study, name: str, claim: dict[str, Any]) -> dict[str, Any]:
    where = f"{study.plan.path}: claim '{name}'"
    if claim["metric"] not in METRICS:
        raise UserError(f"{where} has the unknown metric '{claim['metric']}': use one of {', '.join(METRICS)}.")
    metric = METRICS[claim["metric"]]
    arms = {side: _select(study, claim[side], f"{where}, {side}") for side in ("treatment", "control")}
    involved = pd.concat(arms.values()).drop_duplicates("run")
    missing = int((involved["state"] != "evaluated").sum())
    evaluated = involved[involved["state"] == "evaluated"]
    if evaluated[metric.column].isna().any():
        culprit = evaluated.loc[evaluated[metric.column].isna(), "run"].iloc[0]
        raise UserError(f"{where} needs {claim['metric']}, which the evaluation of {culprit} does not give.")
    pairs = _pair(arms["treatment"], arms["control"], metric.column, where).dropna()
    compared = paired_difference(pairs) if len(pairs) else None
    difference = compared.difference if compared else None
    return {
        "effect": name,
        "text": claim["text"],
        "verdict": verdict(difference, missing) if difference else "missing",
        "metric": claim["metric"],
        "unit": metric.unit,
        "treatment_mean": compared.treatment_mean if compared else math.nan,
        "control_mean": compared.control_mean if compared else math.nan,
        "difference_unit": metric.difference_unit,
        "difference": difference.mean if difference else math.nan,
        "difference_ci95_low": difference.low if difference else math.nan,
        "difference_ci95_high": difference.high if difference else math.nan,
        "n_pairs": difference.n if difference else 0,
        "paired_over": compared.paired_over if compared else "",
        "run_pairs": compared.run_pairs if compared else 0,
        "runs_planned": len(involved),
        "runs_missing": missing,
        "runs_stale": int((evaluated["stale"] != "").sum()),
    }


def _select(study: Study, selector: dict[str, Any], where: str) -> pd.DataFrame:
    """The runs of one experiment whose fields equal the selector's."""
    chosen = study.runs[study.runs["experiment"] == selector.get("experiment")]
    for field, value in selector.items():
        if field not in ("experiment", *RUN_FIELDS):
            raise UserError(f"{where}: the selector knows no '{field}'; use experiment, {', '.join(RUN_FIELDS)}.")
        chosen = chosen[chosen[field] == value]
    if chosen.empty:
        raise UserError(f"{where}: no run of the study matches {selector}.")
    return chosen


def _pair(treatment: pd.DataFrame, control: pd.DataFrame, column: str, where: str) -> pd.DataFrame:
    """Planned pairs with both values, NaN where a run is missing.

    A field that neither side fixes, such as the label fraction in a claim about all of them, is a key too.
    """
    free = [f for f in ("model", "init", "label_fraction") if min(treatment[f].nunique(), control[f].nunique()) > 1]
    keys = [*PAIR_KEYS, *free]
    for side in (treatment, control):
        if side.duplicated(keys).any():
            raise UserError(
                f"{where}: several runs share a data set, split and seed: name the model, init or "
                "label_fraction of both sides."
            )
    pairs = treatment[[*keys, column]].merge(control[[*keys, column]], on=keys)
    if pairs.empty:
        raise UserError(f"{where}: treatment and control have no data set, split and seed in common.")
    return pairs.rename(columns={f"{column}_x": "treatment", f"{column}_y": "control"})


def _cells(row: dict[str, Any]) -> dict[str, str]:
    metric = METRICS[row["metric"]]
    decimals = metric.decimals
    missing = f", missing {row['runs_missing']} of {row['runs_planned']} runs" if row["runs_missing"] else ""
    compared = row["n_pairs"] > 0
    bounds = row["difference_ci95_low"], row["difference_ci95_high"]
    mark = STALE if row["runs_stale"] and compared else ""
    difference = f"{number(row['difference'], decimals, signed=True)} {row['difference_unit']}"
    return {
        "Effect": row["text"],
        "Verdict": row["verdict"] + (STALE if row["runs_stale"] else ""),
        "Metric": f"{metric.title}, {metric.unit}",
        "Treatment": number(row["treatment_mean"], decimals) + mark,
        "Control": number(row["control_mean"], decimals) + mark,
        "Difference": difference + mark if compared else NOT_APPLICABLE,
        "95 % interval": interval(*bounds, decimals, signed=True, stale=row["runs_stale"] > 0)
        if compared
        else NOT_APPLICABLE,
        "Pairs": (units(row["n_pairs"], row["paired_over"]) if compared else "0") + missing,
    }
