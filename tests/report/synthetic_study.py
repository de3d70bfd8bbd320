"""A synthetic study: every record that the report reads, written without running any stage."""

import json
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from dynamonet.code_files import PROJECT, SHORT
from dynamonet.engine.accuracy import classification_metrics
from dynamonet.files import read_json, sha256_file, write_json, write_text

NASTY_CLASS = "<b>&_%"
CLASSES = ["left", "right", NASTY_CLASS, "clockwise", "zoom in", "zoom out"]
TITLES = {
    "dynamonet": "DynamoNet R3D-10",
    "no_dmr": "DynamoNet without DMR",
    "fixed_filters": "DynamoNet, fixed filters",
    "c3d": "C3D",
    "r2plus1d": "R(2+1)D-10",
    "slow_only": "Slow-only R-50 (narrow)",
    "tsn": "TSN",
    "tsm": "TSM",
    "i3d": "I3D",
    "x3d": "X3D-S",
    "mc3": "MC3-18",
    "lstm": "CNN + LSTM_50 % <b>&",
}
DATASETS = {
    "ucf101": {"title": "UCF101 (motion)", "layout": "ucf101", "splits": [1, 2, 3]},
    "hmdb51": {"title": "HMDB51", "layout": "hmdb51", "splits": [1, 2, 3]},
    "kinetics": {"title": "Kinetics (small)", "layout": "kinetics", "splits": [1]},
}
BUILDS = {"no_dmr": "dynamonet"}
"""Of models that are another build than their name."""
OPTIONS = {"no_dmr": {"prediction": False, "dmr_features": 0}}
SCORED = 100
"""Videos of every evaluation: an accuracy in whole per cents is a number of them."""
WEIGHTS_DMR = {"dynamonet": 0.84, "no_dmr": 0.79, "fixed_filters": 0.8}
NEVER = "the run never ran"
FIT_CODE = ("dynamonet/data/sampling.py", "dynamonet/engine/fit.py", "dynamonet/cli.py")
EVALUATE_CODE = ("dynamonet/data/sampling.py", "dynamonet/engine/evaluate.py", "dynamonet/cli.py")
OWN_CODE = {
    "dynamonet": "dynamonet/models/filter_operator.py",
    "c3d": "baselines/c2d_r50.py",
    "r2plus1d": "baselines/r2plus1d_r50.py",
}
"""Of models that have files of their own."""


def default_top1(run: dict) -> float:
    """Plausible and different for every run, without any random state."""
    base = WEIGHTS_DMR.get(run["model"], 0.6 + zlib.crc32(run["model"].encode()) % 20 / 100)
    base += 0.06 * np.log10(run["label_fraction"]) * (3 if run["init"] == "scratch" else 1.5)
    noise = zlib.crc32(json.dumps([run["dataset"], run["split"], run["seed"], run["model"]]).encode()) % 100
    return round(float(base - 0.08 * (run["dataset"] == "hmdb51") + noise / 1000), 2)


def planned_run(model: str, dataset: str, split: int, seed: int, init: str = "scratch", fraction: float = 1.0) -> dict:
    run = {
        "model": model,
        "dataset": dataset,
        "split": split,
        "label_fraction": fraction,
        "init": init,
        "seed": seed,
        "recipe": "short",
        "views": {"clips": 2, "crops": 1, "horizon": 1},
    }
    digest = f"{zlib.crc32(json.dumps(run).encode()):08x}"
    return {"run": f"{model}-{dataset}.{split}-s{seed}-{digest}", **run}


def plan(models: int = 5, datasets: int = 3) -> dict:
    """The study file: `main` on all data sets, an ablation of six runs an arm, labels, a pretraining, a search."""
    names, sets = list(TITLES)[:models], dict(list(DATASETS.items())[:datasets])
    main = [planned_run(m, d, s, 0) for m in names for d in sets for s in sets[d]["splits"]]
    ablation = [planned_run(m, "ucf101", s, seed) for seed in (0, 1, 2) for s in (1, 2) for m in names[:3]]
    labels = [
        planned_run("dynamonet", "ucf101", 1, seed, init, fraction)
        for init in ("scratch", "pretrain")
        for fraction in (0.1, 0.25, 0.5, 1.0)
        for seed in (0, 1, 2)
    ]
    pretrain = [planned_run("dynamonet", "ucf101", 1, seed) for seed in (0, 1, 2)]
    for run in pretrain:
        run["run"] = f"pretrain-{run['run']}"
    search = [planned_run(m, "ucf101", 1, seed) for m in names[:2] for seed in (0, 1, 2)]
    for run in search:
        run["run"] = f"retrieve-{run['run']}"
    return {
        "name": "demo",
        "title": "Does motion need <dynamic> filters?",
        "description": "A synthetic study that has every record & every table.",
        "seeds": [0, 1, 2],
        "datasets": sets,
        "models": {
            name: {
                "title": TITLES[name],
                "build": BUILDS.get(name, name),
                "options": OPTIONS.get(name, {}),
                "clip": {"frames": 16, "stride": 1, "crop": 64},
                "recipe_overrides": {},
            }
            for name in names
        },
        "measured": {"num_classes": len(CLASSES), "views": {"clips": 2, "crops": 1}},
        "recipes": {"short": {"steps": 10, "batch_size": 8, "optimiser": "adamw", "crop_scales": [1.0, 0.5]}},
        "experiments": {
            "ablation": _experiment("Each part counts", "train", ["ablation"], ablation),
            "labels": _experiment("Pretraining saves labels", "train", ["label_efficiency"], labels),
            "main": _experiment("It is more accurate", "train", ["accuracy", "frame_prediction"], main),
            "pretrain": _experiment("Frames can be predicted", "pretrain", ["frame_prediction"], pretrain),
            "search": _experiment("Alike videos are near", "retrieve", ["retrieval"], search),
        },
        "claims": _claims(),
    }


def _claims() -> dict:
    arm = {"metric": "top1", "treatment": {"experiment": "ablation", "model": "dynamonet"}}
    return {
        "dmr": {"text": "The DMR helps", **arm, "control": {"experiment": "ablation", "model": "no_dmr"}},
        "fixed": {
            "text": "Filters help",
            **arm,
            "control": {"experiment": "ablation", "model": "fixed_filters"},
        },
        "pretraining": {
            "text": "Pretraining helps at every label fraction",
            "metric": "top1",
            "treatment": {"experiment": "labels", "init": "pretrain"},
            "control": {"experiment": "labels", "init": "scratch"},
        },
    }


def _experiment(claim: str, task: str, tables: list[str], runs: list[dict]) -> dict:
    return {"claim": claim, "task": task, "tables": tables, "runs": runs}


def write_study(directory: Path, study: dict, top1: Callable[[dict], float | str] = default_top1) -> Path:
    """Write all records of `study`; a run whose top1 is NEVER gets none."""
    write_json(directory / "study.json", study)
    for name, dataset in study["datasets"].items():
        write_json(directory / f"manifests/{name}.json", manifest(name, dataset))
    for position, (name, model) in enumerate(study["models"].items()):
        network = {key: model[key] for key in ("build", "options", "clip")} | study["measured"]
        write_json(directory / f"measure/{name}.json", measurement(name, position, network))
    written = set()
    for experiment in study["experiments"].values():
        for run in experiment["runs"]:
            accuracy = top1(run)
            if accuracy != NEVER and run["run"] not in written:
                write_run(directory / "runs" / run["run"], run, experiment["task"], accuracy)
                written.add(run["run"])
    return directory


def manifest(name: str, dataset: dict) -> dict:
    splits = {str(split): {"train": 70, "test": SCORED} for split in dataset["splits"]}
    counts = {"listed": 95, "found": 95, "decodable": 94, "classes": 6, "frames": 94 * 60, "bytes": 7 * 2**20}
    unusable = [{"id": "v_broken_<1>", "path": "broken.avi", "reason": "moov atom not found"}]
    return {
        "stage": "prepare",
        "counts": {**counts, "splits": splits, "unusable": unusable},
        "manifest_sha256": digest(name),
        "classes": CLASSES,
    }


def measurement(model: str, position: int, network: dict) -> dict:
    metrics = {
        "parameters_m": 14.37 + position,
        "gmacs_per_clip": 2.5 * 1.6**position,
        "views_per_video": 2,
        "gmacs_per_video": 5.0 * 1.6**position,
        "latency_ms_median": 41.2 + position,
        "latency_ms_p10": 40.1,
        "latency_ms_p90": 47.9 + position,
        "clips_per_s": 24.3,
        "batch_size": 1,
        "peak_memory_mib": None,
    }
    clip = {"frames": 16, "stride": 1, "crop": 64}
    device = {"device": "CPU: AMD EPYC, 1 thread", "code": code({"model": model}, ("dynamonet/measure/cost.py",))}
    return {
        "stage": "measure",
        "model": model,
        "measured": network,
        "metrics": metrics,
        "clip": clip,
        "provenance": device,
    }


def write_run(folder: Path, run: dict, task: str, top1: float) -> None:
    generator = np.random.default_rng(zlib.crc32(run["run"].encode()))
    weights = digest(run["run"])
    write_json(folder / "fit.json", fit_record(run, task, weights))
    if task == "retrieve":
        write_json(folder / "retrieve.json", retrieval(run, weights, top1))
        return
    metrics = (
        {
            "psnr_db": 25 + 5 * top1,
            "psnr_copy_db": 24.5,
            "psnr_future_db": 24 + 5 * top1,
            "psnr_future_copy_db": 24.5,
            "psnr_horizon_db": [24 + 5 * top1],
            "psnr_horizon_copy_db": [24.5],
        }
        if "dynamo" in run["model"]
        else {}
    )
    counts = {"listed": SCORED, "scored": SCORED, "unusable": []}
    evaluation = {
        "stage": "evaluate",
        "metrics": metrics,
        "counts": counts,
        "views": {"clips": 2, "crops": 1},
    }
    provenance = {"manifest_sha256": digest(run["dataset"]), "code": code(run, EVALUATE_CODE)}
    write_json(
        folder / "evaluate.json",
        {**evaluation, "weights_sha256": weights, "time": {"wall_s": 18.0}, "provenance": provenance},
    )
    if task in ("train", "evaluate"):
        write_scores(folder, scores(generator, top1))
    write_text(folder / "log.jsonl", "".join(json.dumps(line) + "\n" for line in log(task, top1, generator)))
    if "dynamo" in run["model"] and run["split"] == 1 and run["seed"] == 0:
        write_predictions(folder / "predictions.npz")


def retrieval(run: dict, weights: str, top1: float) -> dict:
    """R@1 is half of `top1`; DynamoNet alone has a motion representation, which finds less."""
    kinds = {"pooled": 1.0, "dmr": 0.5} if run["model"] == "dynamonet" else {"pooled": 1.0}
    recall = {"r1": 0.5 * top1, "r5": 0.7 * top1, "r10": 0.8 * top1, "r20": 0.9 * top1}
    return {
        "stage": "retrieve",
        "metrics": {kind: {name: share * factor for name, share in recall.items()} for kind, factor in kinds.items()},
        "counts": {"listed": SCORED, "queried": SCORED, "gallery_listed": 70, "gallery_used": 70, "unusable": []},
        "weights_sha256": weights,
        "time": {"wall_s": 9.0},
        "provenance": {"manifest_sha256": digest(run["dataset"]), "code": code(run, EVALUATE_CODE)},
    }


def fit_record(run: dict, task: str, weights: str) -> dict:
    parent = f"pretrain-{planned_run(run['model'], run['dataset'], 1, run['seed'])['run']}"
    adopted = task in ("evaluate", "retrieve")
    speed = {} if adopted else {"clips_per_s": 22.1, "data_wait_share": 0.031}
    return {
        "stage": "adopt" if adopted else task,
        "run": run["run"],
        "spec_sha256": digest(f"spec {run['run']}"),
        "metrics": {"steps": 160, "final_loss": 0.4},
        "counts": {"videos": round(70 * run["label_fraction"])},
        "time": {"wall_s": 61.5, "cpu_s": 118.0, **speed},
        "weights_sha256": weights,
        "provenance": {
            "git_commit": "0123456789abcdef0123",
            "git_dirty": False,
            "code_sha256": digest("code"),
            "code": code(run, FIT_CODE),
            "manifest_sha256": digest(run["dataset"]),
            "packages": {"torch": "2.9.0", "numpy": "2.4.6"},
            "python": "3.11.2",
            "device": "CPU: AMD EPYC, 1 thread",
            "seed": run["seed"],
            "init": None if run["init"] == "scratch" else {"run": parent, "weights_sha256": digest(parent)},
        },
    }


def code(run: dict, files: tuple[str, ...]) -> dict[str, str]:
    """What the stage of a run imported: these files of the project, as they are now, and those of its model."""
    own = (OWN_CODE[run["model"]],) if run["model"] in OWN_CODE else ()
    return {file: sha256_file(PROJECT / file)[:SHORT] for file in (*files, *own)}


def digest(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}" * 8


def log(task: str, top1: float, generator: np.random.Generator) -> list[dict]:
    lines = []
    for step in range(10, 161, 10):
        progress = 1 - np.exp(-step / 50)
        line = {
            "step": step,
            "steps": 160,
            "loss": round(1.8 - 1.4 * progress + 0.05 * generator.normal(), 4),
        }
        line["train_top1"] = round(min(1, top1 * progress + 0.02 * generator.random()), 4) if task == "train" else None
        lines.append({**line, "learning_rate": 0.01, "clips_per_s": 22.1, "data_wait_share": 0.03})
    return lines


def scores(generator: np.random.Generator, top1: float) -> pd.DataFrame:
    """The nearest number of videos to `top1`, drawn at random, has its class first, 12 more among the first five."""
    labels, places = np.arange(SCORED) % len(CLASSES), np.arange(SCORED)
    by_rank = np.sort(generator.dirichlet(np.ones(len(CLASSES)), SCORED))[:, ::-1]
    answers = np.stack([generator.permutation(len(CLASSES)) for _ in places])  # classes, the likeliest first
    right = round(top1 * SCORED)
    rank = generator.permutation(np.select([places < right, places < right + 12], [0, 3], len(CLASSES) - 1))
    now = (answers == labels[:, None]).argmax(1)
    answers[places, now], answers[places, rank] = answers[places, rank], labels
    table = np.empty_like(by_rank)
    np.put_along_axis(table, answers, by_rank, 1)
    frame = pd.DataFrame({f"score_{k}": table[:, k] for k in range(len(CLASSES))})
    frame.insert(0, "class_index", labels)
    frame.insert(0, "id", [f"v_{n:03d}" for n in places])
    return frame


def write_scores(folder: Path, table: pd.DataFrame) -> None:
    """The scores, and in the record of evaluation what follows from them."""
    table.to_parquet(folder / "logits.parquet", index=False)
    record = read_json(folder / "evaluate.json")
    follows = classification_metrics(table.filter(like="score_").to_numpy(), table["class_index"].to_numpy())
    record["metrics"] |= follows
    record["counts"] |= {"listed": len(table), "scored": len(table)}
    write_json(folder / "evaluate.json", record)


def write_predictions(path: Path) -> None:
    """A bright square that moves right before a gradient; the prediction trails by a pixel's blur."""
    frames = np.zeros((1, 16, 64, 64, 3), np.uint8)
    frames[...] = np.linspace(40, 120, 64, dtype=np.uint8)[None, None, None, :, None]
    for t in range(16):
        frames[0, t, 20:36, 2 + 3 * t : 18 + 3 * t] = (230, 200, 60)
    predicted = (0.8 * frames[:, 1:] + 0.2 * frames[:, :-1]).astype(np.uint8)
    filters = np.random.default_rng(0).normal(0, 0.05, (1, 15, 2, 3, 5, 5)).astype(np.float32)
    filters[..., 2, 1] += 0.9
    np.savez(path, frames=frames, predicted=predicted, filters=filters, ids=np.array(["v_square_g01"]))
