"""The tables of comparison: each arm beside the first one, on the same videos, and beside what was published."""

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from dynamonet.report.arms import ARM, any_stale, interval_cell, mean_cell, scored_cell, summarise_arms
from dynamonet.report.claims import claim_rows
from dynamonet.report.collect import Study
from dynamonet.report.statistics import mcnemar
from dynamonet.report.table_files import MISSING, NOT_APPLICABLE, STALE, Table, count, interval, number
from dynamonet.report.videos import common, mean_differences, mean_hits, percent_interval

TOP1 = "top1_percent"
REFERENCE = "reference"
BLOCK = ["experiment", "dataset"]
PAIR = ["split", "seed"]


def comparison_table(study: Study) -> Table | None:
    """One block per experiment that feeds the accuracy, and data set; its first arm is the reference."""
    runs = _compared(study)
    if runs.empty:
        return None
    published, blocks = _published(study), []
    for (experiment, dataset), block in runs.groupby(BLOCK, sort=False):
        tidy = summarise_arms(study, block, BLOCK, [TOP1])
        arms = [arm for _, arm in block.groupby(ARM, sort=False)]
        rows = [
            {
                **_over_videos(study, arm),
                **_NOTHING,
                **(_difference(study, arm, arms[0]) if arm is not arms[0] else {}),
                "difference_stale": arm is not arms[0] and any_stale(arm, arms[0]),
                **published.get((experiment, dataset, *arm[["model", "init"]].iloc[0]), {}),
            }
            for arm in arms
        ]
        blocks.append(tidy.assign(reference=tidy["arm"].iloc[0]).join(pd.DataFrame(rows, index=tidy.index)))
    tidy = pd.concat(blocks, ignore_index=True)
    sources = list(dict.fromkeys(filter(None, tidy["published_source"])))
    readable = pd.DataFrame([_cells(study, row, sources) for row in tidy.to_dict("records")])
    notes = [
        "Top-1: mean ± standard deviation over splits and seeds; n runs. Over runs: 95 % Student t interval over "
        "seeds, or over splits where there is one seed, from n = 3 and cut to 0 to 100 %: what other trainings would "
        "give.",
        "Over videos: 95 % percentile bootstrap, 10,000 resamples of the test videos, a video's hits averaged over the "
        "runs first: what other videos would show of these same networks.",
        "Difference: from the first row of the experiment, in runs of equal split and seed, on the videos that both "
        "have scored; its interval is over videos.",
        "McNemar: exact two-sided p of each pair of runs, which the table of pairs lists; not adjusted for number.",
        *(f"[{place}] {source}" for place, source in enumerate(sources, start=1)),
        *(
            ["* Not comparable with ours: the table of claims says why."]
            if "*" in "".join(readable["Published %"])
            else []
        ),
    ]
    return Table("comparison", "Comparison on the same videos", tidy, readable, notes)


def pairs_table(study: Study) -> Table | None:
    """One row per pair of runs of equal split and seed: of an arm, and of the first arm of its block."""
    runs = _compared(study)
    by_name = {run["run"]: run for run in runs.to_dict("records")}
    rows = []
    for (experiment, dataset), block in runs.groupby(BLOCK, sort=False):
        arms = [arm for _, arm in block.groupby(ARM, sort=False)]
        labels = study.arm_labels(block, BLOCK)
        for arm in arms[1:]:
            for run, reference in _pairs(arm, arms[0]):
                names = {"arm": labels[arm.index[0]], "reference": labels[arms[0].index[0]]}
                rows.append(
                    {
                        "experiment": experiment,
                        "dataset": dataset,
                        **names,
                        **_pair(study, by_name[run], by_name[reference]),
                    }
                )
    if not rows:
        return None
    tidy = pd.DataFrame(rows)
    readable = pd.DataFrame([_pair_cells(study, row) for row in rows])
    notes = [
        "Difference: model minus reference on the videos that both have scored; 95 % percentile bootstrap over these "
        "videos. p: McNemar's exact test, two-sided, not adjusted for the number of pairs.",
    ]
    return Table("pairs", "Pairs of runs on the same videos", tidy, readable, notes)


_NOTHING = {
    "difference_points": math.nan,
    "difference_ci95_low_points": math.nan,
    "difference_ci95_high_points": math.nan,
    "difference_pairs": 0,
    "difference_videos": 0,
    "mcnemar_p_lowest": math.nan,
    "mcnemar_p_highest": math.nan,
    "published_percent": math.nan,
    "published_source": "",
    "published_comparable": "",
}

_PAIR_HEADERS = (
    "Videos",
    "Only model right",
    "Only reference right",
    "Difference, points",
    "its 95 % interval",
    "McNemar p",
)


def _compared(study: Study) -> pd.DataFrame:
    """Runs behind the accuracies, in listing order: a model that an experiment lists first is its reference."""
    runs = study.runs_feeding("accuracy").sort_index()
    return runs[runs["task"].isin(("train", "evaluate"))]


def _published(study: Study) -> dict[tuple[str, ...], dict[str, Any]]:
    """Of each arm the first published top-1 of its network that it can be compared with, or the first there is."""
    chosen: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in claim_rows(study):
        if row["metric"] != TOP1 or math.isnan(row["published"]) or not row["same_network"]:
            continue
        arm = (row["experiment"], row["dataset"], row["model"], row["init"])
        comparable = row["verdict"] != "not comparable"
        if arm not in chosen or (comparable and not chosen[arm]["published_comparable"]):
            values = {"percent": row["published"], "source": row["source"], "comparable": comparable}
            chosen[arm] = {f"published_{key}": value for key, value in values.items()}
    return chosen


def _evaluated(runs: pd.DataFrame) -> pd.DataFrame:
    return runs[runs["state"] == "evaluated"]


def _over_videos(study: Study, arm: pd.DataFrame) -> dict[str, float]:
    names = list(_evaluated(arm)["run"])
    row = {}
    for metric in ("top1", "top5"):
        scored = [study.videos.of(name) for name in names]
        known = bool(scored) and all(metric in of_run.hits for of_run in scored)
        low, high = percent_interval(mean_hits(scored, metric), metric, *names) if known else (math.nan, math.nan)
        row |= {f"{metric}_over_videos_ci95_low_percent": low, f"{metric}_over_videos_ci95_high_percent": high}
    return row


def _pairs(arm: pd.DataFrame, reference: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """The runs of equal split and seed."""
    both = arm[["run", *PAIR]].merge(reference[["run", *PAIR]], on=PAIR)
    yield from zip(both["run_x"], both["run_y"], strict=True)


def _difference(study: Study, arm: pd.DataFrame, reference: pd.DataFrame) -> dict[str, Any]:
    names = list(_pairs(_evaluated(arm), _evaluated(reference)))
    pairs = [(study.videos.of(run), study.videos.of(other)) for run, other in names]
    values = mean_differences(pairs, "top1")
    if values.empty:
        return {}
    low, high = percent_interval(values, "top1", *(name for pair in names for name in pair))
    p_values = [mcnemar(a, b).p_value for _, a, b in (common(*pair, "top1") for pair in pairs)]
    return {
        "difference_points": 100 * float(values.mean()),
        "difference_ci95_low_points": low,
        "difference_ci95_high_points": high,
        "difference_pairs": len(pairs),
        "difference_videos": len(values),
        "mcnemar_p_lowest": min(p_values),
        "mcnemar_p_highest": max(p_values),
    }


def _pair(study: Study, run: dict[str, Any], reference: dict[str, Any]) -> dict[str, Any]:
    both = (run, reference)
    missing = sum(of["state"] != "evaluated" for of in both)
    names = {"run": run["run"], "reference_run": reference["run"], **{key: run[key] for key in (*ARM, *PAIR)}}
    names |= {"runs_planned": len(both), "runs_missing": missing, "stale": any(of["stale"] for of in both)}
    if missing:
        return names
    pair = study.videos.of(run["run"]), study.videos.of(reference["run"])
    values = mean_differences([pair], "top1")
    low, high = percent_interval(values, "top1", run["run"], reference["run"])
    _, a, b = common(*pair, "top1")
    test = mcnemar(a, b)
    return {
        **names,
        "videos": len(values),
        "both_right": int((a & b).sum()),
        "only_model_right": test.only_a,
        "only_reference_right": test.only_b,
        "difference_points": 100 * float(values.mean()),
        "difference_ci95_low_points": low,
        "difference_ci95_high_points": high,
        "mcnemar_p": test.p_value,
    }


def _cells(study: Study, row: dict[str, Any], sources: list[str]) -> dict[str, str]:
    over_videos = row["top1_over_videos_ci95_low_percent"], row["top1_over_videos_ci95_high_percent"]
    return {
        "Model": row["arm"],
        "Experiment": row["experiment"],
        "Data set": study.dataset_title(row["dataset"]),
        "Top-1 %": mean_cell(row, TOP1, 1),
        "95 % over videos": interval(*over_videos, 1, stale=row["runs_stale"] > 0) if row["n"] else MISSING,
        "95 % over runs": interval_cell(row, TOP1, 1),
        "n": count(row["n"], row["runs_missing"], row["runs_planned"]),
        **_difference_cells(row),
        "Published %": _published_cell(row, sources),
        "Scored": scored_cell(row),
    }


def _difference_cells(row: dict[str, Any]) -> dict[str, str]:
    headers = ("Difference, points", "its 95 % over videos", "McNemar p (pairs)")
    if row["arm"] == row["reference"]:
        return dict(zip(headers, (REFERENCE, NOT_APPLICABLE, NOT_APPLICABLE), strict=True))
    if math.isnan(row["difference_points"]):
        return dict.fromkeys(headers, MISSING)
    bounds = row["difference_ci95_low_points"], row["difference_ci95_high_points"]
    stale = row["difference_stale"]
    ends = [p_value(row[f"mcnemar_p_{end}"]) for end in ("lowest", "highest")]
    cells = (
        number(row["difference_points"], 1, signed=True, stale=stale),
        interval(*bounds, 1, signed=True, stale=stale),
        f"{' to '.join(dict.fromkeys(ends))} ({row['difference_pairs']:.0f}){STALE if stale else ''}",
    )
    return dict(zip(headers, cells, strict=True))


def _published_cell(row: dict[str, Any], sources: list[str]) -> str:
    if math.isnan(row["published_percent"]):
        return NOT_APPLICABLE
    mark = "" if row["published_comparable"] else "*"
    return f"{number(row['published_percent'], 1)}{mark} [{sources.index(row['published_source']) + 1}]"


def _pair_cells(study: Study, row: dict[str, Any]) -> dict[str, str]:
    labels = {
        "Model": row["arm"],
        "Reference": row["reference"],
        "Experiment": row["experiment"],
        "Data set": study.dataset_title(row["dataset"]),
        "Split": str(row["split"]),
        "Seed": str(row["seed"]),
    }
    if row["runs_missing"]:
        return {**labels, **dict.fromkeys(_PAIR_HEADERS, MISSING)}
    bounds = row["difference_ci95_low_points"], row["difference_ci95_high_points"]
    cells = (
        str(row["videos"]),
        str(row["only_model_right"]),
        str(row["only_reference_right"]),
        number(row["difference_points"], 1, signed=True, stale=row["stale"]),
        interval(*bounds, 1, signed=True, stale=row["stale"]),
        p_value(row["mcnemar_p"]) + (STALE if row["stale"] else ""),
    )
    return {**labels, **dict(zip(_PAIR_HEADERS, cells, strict=True))}


def p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
