"""The claims ledger: every published number that a study can be held against, ours beside it, a verdict, and why."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import pandas as pd

from dynamonet.published import COSTS, Ledger, PublishedNumber, differing_options, read_ledger
from dynamonet.report.collect import Study, init_title
from dynamonet.report.statistics import summarise_runs, within_percent
from dynamonet.report.table_files import MISSING, NOT_APPLICABLE, Table, interval, number
from dynamonet.report.videos import mean_hits, percent_interval

CLASSES = {"kinetics400": 400, "ucf101": 101, "hmdb51": 51}
COUNTED = {
    "fvcore": "gmacs_per_clip",
    "products": "gmacs_products_per_clip",
    "training_norms": "gmacs_training_norms_per_clip",
}
"""`PublishedNumber.counting` -> its key in a measurement's metrics."""
UNITS = {"gmacs_per_clip": "GMACs", "parameters_m": "M"}
VERDICTS = ("reproduced", "within noise", "not reproduced", "not comparable", "not run", "no published value")


@dataclass(frozen=True)
class Ours:
    """What of the study stands beside a published number. `value` and the interval are NaN where there is none.

    runs: those behind an accuracy; missing: how many of them are not evaluated; a cost has no runs, and is missing
    where it was not measured. differences: why the two cannot be compared, if they cannot. same_network: whether the
    published one is known to be this one, so that its value may stand beside ours all the same.
    """

    model: str
    differences: list[str]
    same_network: bool
    experiment: str = ""
    dataset: str = ""
    init: str = ""
    runs: list[str] = field(default_factory=list)
    missing: int = 0
    stale: bool = False
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    over: str = ""


class Verdict(NamedTuple):
    verdict: str
    why: str


def claims_table(study: Study) -> Table | None:
    """None where nobody published a number for a model of the study, on one of its data sets."""
    rows = claim_rows(study)
    if not rows:
        return None
    tidy = pd.DataFrame(rows)
    readable = pd.DataFrame([_cells(study, row) for row in rows])
    notes = [
        "Reproduced: ours is within the tolerance of the published value. Within noise: beyond it, but the published "
        "value lies in our 95 % interval. Not comparable: the two differ in more than the result: column Why. "
        "Not run: not all runs are there. No published value: no source could be verified.",
        "Interval: Student t over seeds, or over splits where there is one seed, from n = 3; with fewer runs, "
        "or of weights evaluated as they are, bootstrap over the test videos; cut to 0 to 100 %. The published value "
        "is taken as exact.",
        "Of each number the arms of the study that can be compared with it are listed; if none can, the nearest one, "
        "and nothing of ours is shown where its network is another.",
    ]
    return Table("claims", "Claims: published numbers and ours", tidy.drop(columns="runs"), readable, notes)


def claim_rows(study: Study, ledger: Ledger | None = None) -> list[dict[str, Any]]:
    """One row per published number and arm of the study that it is compared with. ledger: None, the project's."""
    if ledger is None and not study.claim_rows:
        study.claim_rows.extend(_claim_rows(study, read_ledger()))
    return study.claim_rows if ledger is None else _claim_rows(study, ledger)


def _claim_rows(study: Study, ledger: Ledger) -> list[dict[str, Any]]:
    rows = []
    for name, published in ledger.published.items():
        for nearest in _nearest(_candidates(study, published)):
            known = nearest.runs and nearest.same_network
            ours = _estimated(study, published.metric, nearest) if known else nearest
            tolerance = ledger.tolerance(published)
            judged = judge(published, tolerance, ours)
            rows.append(
                {
                    "claim": name,
                    "what": published.what,
                    "metric": published.metric,
                    "layout": published.dataset or "",
                    "published": math.nan if published.value is None else published.value,
                    "source": published.source,
                    "protocol": published.protocol,
                    "tolerance": tolerance,
                    **{key: getattr(ours, key) for key in ("experiment", "dataset", "model", "init", "same_network")},
                    "ours": ours.value,
                    "ours_ci95_low": ours.low,
                    "ours_ci95_high": ours.high,
                    "interval_over": ours.over,
                    "runs_planned": len(ours.runs),
                    "runs_missing": ours.missing,
                    "stale": ours.stale,
                    "verdict": judged.verdict,
                    "why": judged.why,
                    "runs": ours.runs,
                }
            )
    return rows


def published_costs(study: Study) -> dict[tuple[str, str], dict[str, Any]]:
    """The row of each (model, cost) whose network is the published one."""
    rows = [row for row in claim_rows(study) if row["metric"] in COSTS and row["same_network"]]
    return {(row["model"], row["metric"]): row for row in reversed(rows)}


def judge(published: PublishedNumber, tolerance: float, ours: Ours) -> Verdict:
    """The verdict on one published number. tolerance: in its unit, points for an accuracy."""
    if published.value is None:
        return Verdict(
            "no published value", "no source could be verified: once you have it, give it in config/claims.yaml"
        )
    if ours.differences:
        return Verdict("not comparable", "; ".join(ours.differences))
    if ours.missing or math.isnan(ours.value):
        runs = f"{ours.missing} of {len(ours.runs)} runs are missing" if ours.runs else "it was not measured"
        return Verdict("not run", runs)
    unit, decimals = UNITS.get(published.metric, "points"), 3 if published.metric in COSTS else 2
    # Rounded, so that 75.0 is within 0.5 of 74.5 whatever their last bits are.
    gap = round(ours.value - published.value, 9)
    said = f"ours differs by {number(gap, decimals, signed=True)} {unit}; tolerance {number(tolerance, decimals)}"
    if abs(gap) <= tolerance:
        return Verdict("reproduced", said)
    if math.isnan(ours.low):
        return Verdict("not reproduced", f"{said}; no interval")
    bounds = f"95 % interval over {ours.over} {interval(ours.low, ours.high, decimals)}"
    if ours.low <= published.value <= ours.high:
        return Verdict("within noise", f"{said}, but the published value is in our {bounds}")
    return Verdict("not reproduced", f"{said}; {bounds}")


def _nearest(candidates: list[Ours]) -> list[Ours]:
    """Those without a difference; if there are none, the one with the fewest."""
    comparable = [ours for ours in candidates if not ours.differences]
    return comparable or sorted(candidates, key=lambda ours: len(ours.differences))[:1]


def _candidates(study: Study, published: PublishedNumber) -> list[Ours]:
    models = study.plan.get("models")
    found = []
    for name, model in models.items():
        if model.get("build") != published.network.build:
            continue
        differences = differing_options(model["build"], model["options"], published.network.options)
        if published.metric in COSTS:
            found.append(_cost(study, published, name, differences))
        else:
            found += _arms(study, published, name, differences)
    return found


def _cost(study: Study, published: PublishedNumber, model: str, differences: list[str]) -> Ours:
    measure = study.measures.get(model)
    same_network = not differences
    if measure is None or not same_network:
        return Ours(model, differences, same_network)
    differences = differences + _otherwise(published, measure.get("clip"))
    classes, wanted = measure.find("counts.classes"), CLASSES.get(published.dataset or "")
    if wanted is not None and classes != wanted:
        ours = "an unknown number of" if classes is None else classes
        differences.append(f"{ours} classes (published: {wanted})")
    value = measure.find(f"metrics.{COUNTED[published.counting] if published.counting else published.metric}")
    stale = model in study.measured_otherwise
    return Ours(model, differences, same_network, stale=stale, value=math.nan if value is None else value)


def _arms(study: Study, published: PublishedNumber, model: str, differences: list[str]) -> Iterator[Ours]:
    tasks = ("retrieve",) if published.metric.startswith("pooled") else ("train", "evaluate")
    runs = study.runs[(study.runs["model"] == model) & study.runs["task"].isin(tasks)]
    layouts = {name: dataset["layout"] for name, dataset in study.plan.get("datasets").items()}
    runs = runs[(runs["dataset"].map(layouts) == published.dataset) & (runs["label_fraction"] == 1)]
    for (experiment, dataset, init), arm in runs.groupby(["experiment", "dataset", "init"], sort=False):
        here = [*differences, *_protocol_differences(study, published, experiment, dataset, init, arm)]
        yield Ours(
            model,
            here,
            not differences and published.incomparable is None,
            experiment,
            dataset,
            init,
            arm["run"].tolist(),
        )


def _protocol_differences(
    study: Study, published: PublishedNumber, experiment: str, dataset: str, init: str, arm: pd.DataFrame
) -> Iterator[str]:
    if published.incomparable:
        yield published.incomparable
    generated = study.plan.get("datasets")[dataset].get("generated")
    if generated is None:
        yield "study.json does not say whether the videos are generated: write it again"
    elif generated:
        yield f"generated videos in the layout of {published.dataset}, not {published.dataset}"
    planned = next(run for run in study.experiments[experiment]["runs"] if run["run"] == arm["run"].iloc[0])
    clip, views = study.plan.get("models")[arm["model"].iloc[0]]["clip"], planned["views"]
    yield from _otherwise(published, {**clip, "crop": views.get("crop") or clip["crop"], **_counts(views)})
    splits = tuple(sorted(set(arm["split"])))
    if published.splits is not None and splits != published.splits:
        yield f"splits {_listed(splits)} (published: {_listed(published.splits)})"
    start = _start(study, init)
    if start not in published.start and not (start == "released" and "kinetics400" in published.start):
        yield f"{init_title(init)} (published: {' or '.join(published.start)})"


def _counts(views: dict[str, Any]) -> dict[str, Any]:
    return {key: views[key] for key in ("clips", "crops")}


def _otherwise(published: PublishedNumber, given: dict[str, Any]) -> list[str]:
    """What of the clip and the views is otherwise than what the source states."""
    stated = {key: getattr(published.network, key) for key in ("frames", "stride", "crop", "clips", "crops")}
    return [
        f"{key} {given[key]} (published: {value})"
        for key, value in stated.items()
        if value is not None and key in given and given[key] != value
    ]


def _listed(splits: tuple[int, ...]) -> str:
    return ", ".join(map(str, splits))


def _start(study: Study, init: str) -> str:
    """What the weights have been through, as `PublishedNumber.start` says it; the init itself where that is unknown."""
    parent = study.experiments.get(init)
    if parent is None:
        return init
    if parent["task"] == "pretrain":
        return "pretrained"
    datasets = {study.plan.get("datasets")[run["dataset"]]["layout"] for run in parent["runs"]}
    return datasets.pop() if len(datasets) == 1 else init


def _estimated(study: Study, metric: str, ours: Ours) -> Ours:
    """With the mean over its runs, the 95 % interval, and what that is over."""
    arm = study.runs[(study.runs["experiment"] == ours.experiment) & study.runs["run"].isin(ours.runs)]
    runs = arm[arm["state"] == "evaluated"]
    parts = ["top1_percent", "top5_percent"] if metric == "top1_top5_mean_percent" else [metric]
    summary = summarise_runs(runs.assign(value=runs[parts].mean(axis=1, skipna=False)), "value")
    low, high, over = *within_percent(summary.low, summary.high), "seeds" if runs["seed"].nunique() > 1 else "splits"
    if math.isnan(low) or set(runs["task"]) == {"evaluate"}:  # what nothing was trained for differs by no seed
        low, high, over = math.nan, math.nan, ""
        hits = [part.removesuffix("_percent") for part in parts]
        if summary.n and set(hits) <= {"top1", "top5"}:
            scored = [study.videos.of(run) for run in runs["run"]]
            values = sum(mean_hits(scored, hit) for hit in hits) / len(hits)
            (low, high), over = percent_interval(values, metric, *runs["run"]), "videos"
    return replace(
        ours,
        missing=len(arm) - len(runs),
        stale=bool((runs["stale"] != "").any()),
        value=summary.mean,
        low=low,
        high=high,
        over=over,
    )


def _cells(study: Study, row: dict[str, Any]) -> dict[str, str]:
    decimals = 3 if row["metric"] in COSTS else 2
    compared = study.model_title(row["model"])
    if row["experiment"]:
        compared += f", {study.dataset_title(row['dataset'])}, {init_title(row['init'])} ({row['experiment']})"
    ours = number(row["ours"], decimals, stale=row["stale"])
    bounds = row["ours_ci95_low"], row["ours_ci95_high"]
    return {
        "Claim": row["claim"],
        "What": row["what"],
        "Metric": row["metric"],
        "Data set": row["layout"] or NOT_APPLICABLE,
        "Published": MISSING if math.isnan(row["published"]) else number(row["published"], decimals),
        "Ours": (MISSING if row["same_network"] else NOT_APPLICABLE) if math.isnan(row["ours"]) else ours,
        "Verdict": row["verdict"],
        "Why": row["why"],
        "Tolerance": NOT_APPLICABLE if math.isnan(row["published"]) else number(row["tolerance"], decimals),
        "95 % interval": interval(*bounds, decimals, stale=row["stale"]) if row["interval_over"] else NOT_APPLICABLE,
        "over": row["interval_over"] or NOT_APPLICABLE,
        "Ours is": compared,
        "Protocol": row["protocol"],
        "Source": row["source"],
    }
