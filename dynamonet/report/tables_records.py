"""The tables that describe models, data sets and runs rather than results: cost, runtime, datasets, runs."""

from typing import Any

import pandas as pd

from dynamonet.records import Record
from dynamonet.report.claims import published_costs
from dynamonet.report.collect import Study
from dynamonet.report.statistics import summarise
from dynamonet.report.table_files import CHANGED, MISSING, NOT_APPLICABLE, STALE, Table, count, number

SHORT = 12  # hex digits of a hash that are shown: enough to tell any two apart

COUNTS = {
    "videos_listed": "counts.listed",
    "videos_found": "counts.found",
    "videos_decodable": "counts.decodable",
    "classes": "counts.classes",
    "frames": "counts.frames",
}
COSTS = (
    "gmacs_per_clip",
    "gmacs_products_per_clip",
    "gmacs_training_norms_per_clip",
    "views_per_video",
    "gmacs_per_video",
    "parameters_m",
)
SPEED = (
    "latency_ms_median",
    "latency_ms_p10",
    "latency_ms_p90",
    "latency_runs",
    "clip_peak_memory_mib",
    "clips_per_s",
    "batch_size",
    "peak_memory_mib",
)


def cost_table(study: Study) -> Table:
    published = published_costs(study)
    tidy = pd.DataFrame([{**_cost(study, name), **_published(published, name)} for name in study.models])
    sources = list(dict.fromkeys(filter(None, tidy["published_source"])))
    readable = pd.DataFrame(
        {
            "Model": row["title"],
            "Clip (frames × stride × crop px)": row["clip"] or MISSING,
            "GMACs per clip": _measured(row, "gmacs_per_clip", 3),
            "Views per video": _measured(row, "views_per_video", 0),
            "GMACs per video": _measured(row, "gmacs_per_video", 2),
            "Parameters, M": _measured(row, "parameters_m", 2),
            "Published GMACs per clip": _published_cell(row, "gmacs_per_clip", sources),
            "ours, counted so": number(row["published_gmacs_per_clip_ours"], 2),
            "Published parameters, M": _published_cell(row, "parameters_m", sources),
        }
        for row in tidy.to_dict("records")
    )
    notes = _unmeasured(study) + [f"[{place}] {source}" for place, source in enumerate(sources, start=1)]
    if "*" in "".join(readable.filter(like="Published").to_numpy().ravel()):
        notes.append("* Of another clip or number of classes than ours: the table of claims says which.")
    return Table("cost", "Cost", tidy, readable, notes)


def runtime_table(study: Study) -> Table:
    """The one table whose values are measured times: it alone differs between equal studies."""
    tidy = pd.DataFrame([_runtime(study, name) for name in study.models])
    readable = pd.DataFrame(
        {
            "Model": row["title"],
            **speed_cells(row),
            "Pretraining s": _fitted(row, "pretraining", "wall_s", 1),
            "Training s": _fitted(row, "training", "wall_s", 1),
            "Training clips/s": _fitted(row, "training", "clips_per_s", 1),
            "Waiting for data %": _fitted(row, "training", "data_wait_percent", 1),
            "Training runs": _run_count(row, "training"),
        }
        for row in tidy.to_dict("records")
    )
    notes = ["Pretraining, training: means over the fitted runs with all labels; s: wall-clock seconds of a run."]
    return Table("runtime", "Runtime", tidy, readable, [*notes, *_unmeasured(study)])


def datasets_table(study: Study) -> Table:
    tidy = pd.DataFrame([_dataset(study, name) for name in study.datasets])
    # A missing manifest must not turn the other data sets' counts into floats.
    tidy = tidy.astype(dict.fromkeys(COUNTS, "Int64"))
    readable = pd.DataFrame(
        {
            "Data set": row["title"],
            "Layout": row["layout"],
            "Videos listed": _count_or_missing(row["videos_listed"]),
            "found": _count_or_missing(row["videos_found"]),
            "decodable": _count_or_missing(row["videos_decodable"]),
            "Classes": _count_or_missing(row["classes"]),
            "Train / test by split": row["train_test_by_split"] or MISSING,
            "Frames": _count_or_missing(row["frames"]),
            "Size MiB": number(row["size_mib"], 1),
            "Manifest": row["manifest_sha256"][:SHORT] + (STALE if row["stale"] else "") or MISSING,
        }
        for row in tidy.to_dict("records")
    )
    changed = tidy.loc[tidy["stale"], "title"].tolist()
    notes = [f"The manifest is another one than this record is of: {', '.join(changed)}."] if changed else []
    return Table("datasets", "Data sets", tidy, readable, notes)


def runs_table(study: Study) -> Table:
    experiments = study.runs.groupby("run", sort=False)["experiment"].agg(", ".join)
    runs = study.runs.drop_duplicates("run")
    tidy = pd.DataFrame([_run(study, run, experiments[run["run"]]) for run in runs.to_dict("records")]).sort_values(
        "run", ignore_index=True
    )
    readable = pd.DataFrame(
        {
            "Run": row["run"],
            "Experiments": row["experiments"],
            "State": row["state"] + (STALE if row["stale"] else CHANGED if row["settings_changed"] else ""),
            "Stale or missing because": row["stale"] or row["settings_changed"] or NOT_APPLICABLE,
            "Spec": row["spec_sha256"][:SHORT] or NOT_APPLICABLE,
            "Commit": row["git_commit"][:SHORT] or NOT_APPLICABLE,
            "Uncommitted changes": row["git_dirty"] or NOT_APPLICABLE,
            "Weights": row["weights_sha256"][:SHORT] or NOT_APPLICABLE,
            "Start": row["init"] if row["init"] == "scratch" else f"{row['init']} {row['init_sha256'][:SHORT]}",
            "Training videos": number(row["videos_fitted"], 0),
            "Scored / listed": f"{row['videos_scored']}/{row['videos_listed']}"
            if row["state"] == "evaluated"
            else MISSING,
            "Device": row["device"] or NOT_APPLICABLE,
        }
        for row in tidy.to_dict("records")
    )
    return Table("runs", "Runs", tidy, readable)


def _unmeasured(study: Study) -> list[str]:
    absent = [study.model_title(name) for name in study.models if name not in study.measures]
    notes = [f"Missing {len(absent)} of {len(study.models)} measurements: {', '.join(absent)}."] if absent else []
    stale = [f"{study.model_title(name)} ({why})" for name, why in study.measured_otherwise.items()]
    return [*notes, f"Stale measurements: {'; '.join(stale)}."] if stale else notes


def _cost(study: Study, name: str) -> dict[str, Any]:
    measure = study.measures.get(name)
    row: dict[str, Any] = {"model": name, "title": study.model_title(name)}
    row |= {"measured": measure is not None, "clip": "", "stale": name in study.measured_otherwise}
    if measure is not None:
        row["clip"] = " × ".join(str(measure.get(f"clip.{part}")) for part in ("frames", "stride", "crop"))
    for key in COSTS:
        row[key] = _metric(measure, key)
    return row


def _published(published: dict[tuple[str, str], dict[str, Any]], name: str) -> dict[str, Any]:
    """The tidy columns of what was published of a model's cost; NaN where nothing was of this very network."""
    row: dict[str, Any] = {"published_source": ""}
    for metric in ("parameters_m", "gmacs_per_clip"):
        found = published.get((name, metric))
        row[f"published_{metric}"] = found["published"] if found else float("nan")
        row[f"published_{metric}_ours"] = found["ours"] if found else float("nan")
        row[f"published_{metric}_comparable"] = bool(found) and found["verdict"] != "not comparable"
        row["published_source"] = found["source"] if found else row["published_source"]
    return row


def _published_cell(row: dict[str, Any], metric: str, sources: list[str]) -> str:
    value = row[f"published_{metric}"]
    if pd.isna(value):
        return NOT_APPLICABLE
    mark = "" if row[f"published_{metric}_comparable"] else "*"
    return f"{number(value, 2)}{mark} [{sources.index(row['published_source']) + 1}]"


def _runtime(study: Study, name: str) -> dict[str, Any]:
    measure = study.measures.get(name)
    row: dict[str, Any] = {"model": name, "title": study.model_title(name), **speed_values(measure)}
    row["stale"] = name in study.measured_otherwise
    runs = study.runs.drop_duplicates("run")
    # Runs with fewer labels are shorter, and not every model has them.
    runs = runs[runs["label_fraction"] == runs["label_fraction"].max()]
    for task, stem in (("pretrain", "pretraining"), ("train", "training")):
        of_task = runs[(runs["model"] == name) & (runs["task"] == task)]
        chosen = of_task["run"]
        fits = [study.fits[run] for run in chosen if run in study.fits]
        row |= {f"{stem}_runs": len(fits), f"{stem}_runs_planned": len(chosen)}
        row[f"{stem}_runs_stale"] = int((of_task["stale"] != "").sum())
        row[f"{stem}_wall_s_mean"] = _mean(fits, "time.wall_s")
        row[f"{stem}_clips_per_s_mean"] = _mean(fits, "time.clips_per_s")
        row[f"{stem}_data_wait_percent_mean"] = 100 * _mean(fits, "time.data_wait_share")
    return row


def speed_values(measure: Record | None) -> dict[str, Any]:
    """The tidy columns of measured times and memory; empty where the model was not measured."""
    row: dict[str, Any] = {"measured": measure is not None}
    row["device"] = measure.get("provenance.device") if measure else ""
    for key in ("threads", "precision"):
        row[key] = (measure.find(f"provenance.{key}") or "") if measure else ""
    for key in SPEED:
        row[key] = _metric(measure, key)
    row["batch_size_limit"] = (measure.find("metrics.batch_size_limit") or "") if measure else ""
    return row


def speed_cells(row: dict[str, Any]) -> dict[str, str]:
    """The readable columns of `speed_values`."""
    return {
        "Latency ms, median (p10–p90)": _latency(row),
        "Runs": _measured(row, "latency_runs", 0),
        "Memory of a clip MiB": _measured(row, "clip_peak_memory_mib", 0),
        "Clips/s": _measured(row, "clips_per_s", 1),
        "Batch": _measured(row, "batch_size", 0),
        "Memory of the batch MiB": _measured(row, "peak_memory_mib", 0),
        "Precision": (row["precision"] or NOT_APPLICABLE) if row["measured"] else MISSING,
        "Device": row["device"] or MISSING,
    }


def _metric(measure: Record | None, key: str) -> float:
    """NaN where the record has none: peak memory, say, is null where a device has no counter for it."""
    known = measure is not None and measure.find(f"metrics.{key}") is not None
    return measure.number(f"metrics.{key}") if known else float("nan")


def _mean(records: list[Record], key: str) -> float:
    return summarise(record.number(key) for record in records).mean


def _latency(row: dict[str, Any]) -> str:
    median, low, high = (number(row[f"latency_ms_{key}"], 1) for key in ("median", "p10", "p90"))
    return f"{median} ({low}–{high}){_mark(row)}" if row["measured"] else MISSING


def _measured(row: dict[str, Any], key: str, decimals: int) -> str:
    if not row["measured"]:
        return MISSING
    return number(row[key], decimals) + ("" if pd.isna(row[key]) else _mark(row))


def _mark(row: dict[str, Any]) -> str:
    return STALE if row.get("stale") else ""


def _fitted(row: dict[str, Any], stem: str, key: str, decimals: int) -> str:
    lost = row[f"{stem}_runs_planned"] and not row[f"{stem}_runs"]
    value = row[f"{stem}_{key}_mean"]
    mark = STALE if row[f"{stem}_runs_stale"] and not pd.isna(value) else ""
    return MISSING if lost else number(value, decimals) + mark


def _run_count(row: dict[str, Any], stem: str) -> str:
    planned, fitted = row[f"{stem}_runs_planned"], row[f"{stem}_runs"]
    return count(fitted, planned - fitted, planned)


def _dataset(study: Study, name: str) -> dict[str, Any]:
    manifest = study.manifests.get(name)
    row: dict[str, Any] = {
        "dataset": name,
        "title": study.dataset_title(name),
        "layout": study.plan.get("datasets")[name]["layout"],
    }
    for column, key in COUNTS.items():
        row[column] = int(manifest.number(key)) if manifest else None
    splits = manifest.get("counts.splits") if manifest else {}
    parts = [f"{split}: {part['train']}/{part['test']}" for split, part in sorted(splits.items())]
    row["train_test_by_split"] = ", ".join(parts)
    row["size_mib"] = manifest.number("counts.bytes") / 2**20 if manifest else float("nan")
    row["manifest_sha256"] = manifest.get("manifest_sha256") if manifest else ""
    row["stale"] = manifest is not None and study.manifest_hashes[name] != row["manifest_sha256"]
    return row


def _count_or_missing(value: float | None) -> str:
    return MISSING if pd.isna(value) else f"{int(value)}"


def _run(study: Study, run: dict[str, Any], experiments: str) -> dict[str, Any]:
    fit = study.fits.get(run["run"])
    init = fit.find("provenance.init") if fit else None
    packages = fit.mapping("provenance.packages") if fit else {}
    return {
        "run": run["run"],
        "experiments": experiments,
        "task": run["task"],
        **{field: run[field] for field in ("model", "dataset", "split", "label_fraction", "init", "seed", "state")},
        "stale": run["stale"],
        "settings_changed": run["settings_changed"],
        "spec_sha256": fit.get("spec_sha256") if fit else "",
        "git_commit": (fit.find("provenance.git_commit") or "") if fit else "",
        "git_dirty": {True: "yes", False: "no", None: ""}[fit.find("provenance.git_dirty")] if fit else "",
        "code_sha256": fit.get("provenance.code_sha256") if fit else "",
        "manifest_sha256": fit.get("provenance.manifest_sha256") if fit else "",
        "weights_sha256": fit.get("weights_sha256") if fit else "",
        "init_run": init.get("run", "") if init else "",
        "init_sha256": init["weights_sha256"] if init else "",
        "videos_fitted": fit.number("counts.videos") if fit else float("nan"),
        "videos_listed": run["videos_listed"],
        "videos_scored": run["videos_scored"],
        "device": fit.get("provenance.device") if fit else "",
        "python": fit.get("provenance.python") if fit else "",
        "packages": "; ".join(f"{name} {version}" for name, version in sorted(packages.items())),
    }
