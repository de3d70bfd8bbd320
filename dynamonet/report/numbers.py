r"""`tables/numbers.tex`: one LaTeX macro for each number that the text of a paper may quote.

A macro's name is the table, then what names the row in the study file (the experiment where it tells rows apart, task,
data set, model, then the start and the share of the labels where they are not "from scratch" and "all"), then the
number; letters only, digits spelled: `\AccuracyUcfOneOhOneDynamonetTopOne` is the mean top-1 of model `dynamonet` on
data set `ucf101`. Names are those of the study file, not titles, so that rephrasing a title breaks no text. A number
that is not there expands to `\missing{why}`, one of stale records to `\stale{85.3}`, and one of which runs are missing
to `\incomplete{85.3}{2 of 3 runs}`; all three show in the text, unless the paper defines them otherwise.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

from dynamonet.errors import UserError
from dynamonet.report.collect import RETRIEVAL_METRICS, Study
from dynamonet.report.sources import runs_behind
from dynamonet.report.statistics import MINIMUM_N
from dynamonet.report.table_files import Table

DIGITS = ("Oh", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
AS_THEY_ARE = ("n", "n_pairs", "psnr_n", "videos_scored", "videos_listed", "published", "tolerance")
"""Columns that are never incomplete or stale."""
HEADER = r"""% One macro per number, written by the report: \input{numbers}. Above a row its runs are named.
\providecommand{\missing}[1]{\textbf{[missing: #1]}}
\providecommand{\incomplete}[2]{#1\textsuperscript{[#2]}}
\providecommand{\stale}[1]{#1\textsuperscript{\textdagger}}
"""


@dataclass(frozen=True)
class Family:
    """The macros of one table. keys: tidy columns that name a row; numbers: (tidy column, decimals or format)."""

    prefix: str
    keys: tuple[str, ...]
    numbers: dict[str, tuple[str, int | str]]


def _mean(name: str, stem: str, unit: str, decimals: int, spread: bool = True) -> dict[str, tuple[str, int]]:
    ends = {"Sd": "sd", "Low": "ci95_low", "High": "ci95_high"} if spread else {}
    return {name + end: (f"{stem}_{part}_{unit}", decimals) for end, part in {"": "mean", **ends}.items()}


_TOP1 = _mean("TopOne", "top1", "percent", 1)
_N = {"N": ("n", 0)}
_DIFFERENCE = {
    "Difference": ("difference_points", 1),
    "DifferenceLow": ("difference_ci95_low_points", 1),
    "DifferenceHigh": ("difference_ci95_high_points", 1),
}
FAMILIES = {
    "accuracy": Family(
        "Accuracy",
        ("dataset",),
        {
            **_TOP1,
            **_mean("TopFive", "top5", "percent", 1),
            **_mean("ClassMean", "mean_class_accuracy", "percent", 1),
            "TopOneLowest": ("top1_lowest_percent", 1),
            "TopOneHighest": ("top1_highest_percent", 1),
            "Scored": ("videos_scored", 0),
            "Listed": ("videos_listed", 0),
            **_N,
        },
    ),
    "comparison": Family(
        "Comparison",
        ("experiment", "dataset"),
        {
            "OverVideosLow": ("top1_over_videos_ci95_low_percent", 1),
            "OverVideosHigh": ("top1_over_videos_ci95_high_percent", 1),
            **_DIFFERENCE,
        },
    ),
    "pairs": Family(
        "Pair",
        ("experiment", "dataset", "split", "seed"),
        {**_DIFFERENCE, "P": ("mcnemar_p", ".2g"), "N": ("videos", 0)},
    ),
    "ablation": Family("Ablation", ("experiment", "dataset"), {**_TOP1, **_DIFFERENCE, **_N}),
    "label_efficiency": Family("Labels", ("dataset",), {**_TOP1, **_N}),
    "frame_prediction": Family(
        "Prediction",
        ("task", "dataset"),
        {
            **_mean("Psnr", "psnr", "db", 2),
            **_mean("Copy", "psnr_copy", "db", 2),
            **_mean("Gain", "gain", "db", 2),
            **_mean("LastGain", "future_gain", "db", 2),
            "N": ("psnr_n", 0),
        },
    ),
    "horizon": Family(
        "Horizon", ("task", "dataset", "step"), {**_mean("Psnr", "psnr", "db", 2), **_mean("Gain", "gain", "db", 2)}
    ),
    "retrieval": Family(
        "Retrieval",
        ("dataset",),
        {
            name: number
            for metric in RETRIEVAL_METRICS
            for name, number in _mean(metric, metric, "percent", 1, spread=metric.endswith("_r1")).items()
        }
        | _N,
    ),
    "cost": Family(
        "Cost",
        (),
        {
            "Gmacs": ("gmacs_per_clip", 3),
            "GmacsPerVideo": ("gmacs_per_video", 2),
            "Views": ("views_per_video", 0),
            "Parameters": ("parameters_m", 2),
        },
    ),
    "runtime": Family(
        "Runtime",
        (),
        {
            "LatencyMs": ("latency_ms_median", 2),
            "ClipsPerS": ("clips_per_s", 1),
            "ClipPeakMib": ("clip_peak_memory_mib", 1),
            "PretrainingWallS": ("pretraining_wall_s_mean", 1),
            "TrainingWallS": ("training_wall_s_mean", 1),
            "TrainingClipsPerS": ("training_clips_per_s_mean", 1),
        },
    ),
    "compute": Family(
        "Compute",
        ("experiment",),
        {"FitHours": ("fit_device_h", ".3g"), "EvaluationHours": ("evaluation_device_h", ".3g")},
    ),
    "datasets": Family(
        "Dataset",
        ("dataset",),
        {name: (f"videos_{name.lower()}", 0) for name in ("Listed", "Found", "Decodable")}
        | {"Classes": ("classes", 0), "Frames": ("frames", 0)},
    ),
    "claims": Family(
        "Claim",
        ("experiment", "dataset", "claim"),
        {
            "Published": ("published", 2),
            "Tolerance": ("tolerance", 2),
            "Ours": ("ours", 2),
            "OursLow": ("ours_ci95_low", 2),
            "OursHigh": ("ours_ci95_high", 2),
        },
    ),
    "effects": Family(
        "Effect",
        ("effect",),
        {
            "Treatment": ("treatment_mean", 2),
            "Control": ("control_mean", 2),
            "Difference": ("difference", 2),
            "Low": ("difference_ci95_low", 2),
            "High": ("difference_ci95_high", 2),
            "N": ("n_pairs", 0),
        },
    ),
}


def numbers_tex(study: Study, tables: dict[str, Table | None]) -> str:
    """The file's text. Raises UserError where two numbers would have one macro."""
    runs = study.runs.drop_duplicates("run")
    macros = {
        "StudyRunsPlanned": f"{len(runs)}",
        "StudyRunsEvaluated": f"{(runs['state'] == 'evaluated').sum()}",
        "StudyRunsStale": f"{(runs['stale'] != '').sum()}",
    }
    lines = [HEADER, *(rf"\newcommand{{\{name}}}{{{text}}}" for name, text in macros.items())]
    said = dict.fromkeys(macros, "the study's runs")
    for key in FAMILIES:
        if (table := tables[key]) is None:
            continue
        for row in table.tidy.to_dict("records"):
            named = _named(FAMILIES[key], row)
            where = f"{key} of {', '.join(named)}"
            lines += ["", f"% {where}: {', '.join(runs_behind(study, key, row)) or 'its measurement'}"]
            for name, (column, decimals) in FAMILIES[key].numbers.items():
                macro = FAMILIES[key].prefix + "".join(map(spelled, [*named, name]))
                if macro in said:
                    raise UserError(
                        f"{study.plan.path}: {said[macro]} and {where} share the macro \\{macro}: rename one of them"
                    )
                said[macro] = where
                lines.append(rf"\newcommand{{\{macro}}}{{{_text(row, column, decimals)}}}")
    return "\n".join(lines) + "\n"


def _named(family: Family, row: dict[str, Any]) -> list[str]:
    # `arms.py` tells arms that differ in nothing else by their experiment.
    keys = family.keys if "experiment" in family.keys or not row.get("experiment") else ("experiment", *family.keys)
    named = [f"{part} {row[part]}" if part in ("split", "seed") else str(row[part]) for part in keys]
    named += [row["model"]] if "model" in row else []
    if row.get("init", "scratch") not in ("scratch", ""):
        named.append(f"after {row['init']}")
    if row.get("label_fraction", 1) != 1:
        named.append(f"{100 * row['label_fraction']:g} percent")
    return named


def spelled(text: str) -> str:
    """The text in letters: 'r2plus1d_r50' -> 'RTwoPlusOneDRFiveOh', 'ucf101' -> 'UcfOneOhOne'."""
    words = re.findall(r"[A-Za-z]+|[0-9]|\.(?=[0-9])", text)
    return "".join("Point" if w == "." else DIGITS[int(w)] if w.isdigit() else w[0].upper() + w[1:] for w in words)


def _text(row: dict[str, Any], column: str, decimals: int | str) -> str:
    # A column that no row has a value for can be absent.
    value, missing, planned = row.get(column), row.get("runs_missing", 0), row.get("runs_planned", 0)
    if value is None or math.isnan(value):
        return rf"\missing{{{_why(column, missing, planned)}}}"
    text = f"{value:{decimals if isinstance(decimals, str) else f'.{decimals}f'}}"
    if column in AS_THEY_ARE:
        return text
    if missing:
        text = rf"\incomplete{{{text}}}{{{planned - missing} of {planned} runs}}"
    stale = row["difference_stale"] if column.startswith("difference") and "difference_stale" in row else _stale(row)
    return rf"\stale{{{text}}}" if stale else text


def _stale(row: dict[str, Any]) -> bool:
    return bool(row.get("runs_stale") or row.get("stale"))


def _why(column: str, missing: int, planned: int) -> str:
    if column == "published":
        return "no verified source"
    if column == "ours" and not missing:
        return "nothing comparable"
    if missing:
        return f"{missing} of {planned} runs"
    if not planned:
        return "not measured"
    if "ci95" in column:
        return f"an interval needs {MINIMUM_N} runs"
    return "one run has no deviation" if "_sd_" in column else "not defined for this model"
