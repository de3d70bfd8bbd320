"""`dynamonet calibrate`: short training steps and forward passes of all that a study will run, on the device at hand.

How fast videos are read is measured too, on those of data sets that are prepared. What does not fit into memory, and
operators that refuse, are found here instead of in the queue.
"""

import platform
import time

import numpy as np
import pandas as pd
import psutil
import torch

from dynamonet.data.clips import EvalClips, TrainClips
from dynamonet.data.crop import training_box
from dynamonet.data.manifest import Manifest
from dynamonet.engine.device import cpu_name, device_name, prepare_device
from dynamonet.engine.fit import clip_shape
from dynamonet.engine.inference import eval_clips
from dynamonet.expansion import Expansion
from dynamonet.files import canonical_json
from dynamonet.models.catalogue import model_module
from dynamonet.planning.calibration_file import Calibration
from dynamonet.planning.profile import Profile
from dynamonet.planning.settings import clip_settings, pass_settings, step_settings, view_settings
from dynamonet.planning.steps import measure_pass, measure_step
from dynamonet.progress import progress
from dynamonet.records import installed_packages
from dynamonet.spec import FITTED, RunSpec
from dynamonet.study_schema import Study

SAMPLES = 8
"""Videos of each data set that are read."""


def calibrate(study: Study, expansion: Expansion, profile: Profile) -> Calibration:
    """Measure every distinct step, pass and reading of a study's runs, seconds each; saved one by one.

    The profile says among how many processes a batch is shared, each of which is measured alone. Raises UserError for
    a broken manifest.
    """
    device = prepare_device(study.threads)
    started_s = time.time() - psutil.Process().create_time()
    calibration = Calibration(device_name(device), _about(device))
    classes, wanted = study.measured_classes, _wanted(study, expansion, profile)
    with progress(f"calibrate {calibration.device}") as report:
        for done, (kind, settings, spec) in enumerate(wanted):
            report(done, len(wanted))
            if kind == "steps":
                found = measure_step(spec, settings["clips_per_process"], classes, device)
            elif kind == "passes":
                found = measure_pass(spec, classes, device)
            else:
                found = measure_reading(study, spec, settings["reads"] == "clip", device)
            if "start_s" in found:
                found["start_s"] = round(found["start_s"] + started_s, 3)
            calibration.put(kind, settings, **found)
            calibration.save()
        report(len(wanted), len(wanted))
    return calibration


def _wanted(study: Study, expansion: Expansion, profile: Profile) -> list[tuple[str, dict, RunSpec]]:
    """Kind, settings and a run that has them, each distinct one once."""
    found: dict[tuple[str, str], tuple[str, dict, RunSpec]] = {}

    def add(kind: str, settings: dict, spec: RunSpec) -> None:
        found.setdefault((kind, canonical_json(settings)), (kind, settings, spec))

    # cuBLAS reads once what deterministic products need: those come first.
    for spec in sorted(expansion.runs.values(), key=lambda spec: not spec.execution.deterministic):
        prepared = (study.directory / "manifests" / f"{spec.dataset}.parquet").is_file()
        readable = prepared and not model_module(spec.build).CARD.stored_flow
        if spec.task in FITTED:
            processes = profile.processes(spec.task)
            if spec.recipe.batch_size % (processes * spec.recipe.accumulation) == 0:
                add("steps", step_settings(spec, processes), spec)
            if readable:
                add("reading", clip_settings(spec), spec)
        add("passes", pass_settings(spec), spec)
        if readable:
            add("reading", view_settings(spec), spec)
    return list(found.values())


def _about(device: torch.device) -> dict:
    about = {"host": platform.node(), "cpu": cpu_name(), "at": time.strftime("%Y-%m-%d %H:%M")}
    if device.type == "cuda":
        about["memory_gib"] = round(torch.cuda.get_device_properties(device).total_memory / 2**30, 1)
    return about | {"packages": installed_packages()}


def measure_reading(study: Study, spec: RunSpec, clips: bool, device: torch.device) -> dict:
    """Training clips, or test videos with all their views, that one loader process reads in a second.

    Returns per_s, of the second time where a data set stays in memory once it is decoded, and samples.
    """
    path = study.directory / "manifests" / f"{spec.dataset}.parquet"
    manifest = Manifest.load(path)
    if clips:
        rows, shape = _some(manifest.select(spec.split, "train")), clip_shape(spec)
        box = training_box(spec.recipe, shape.crop)
        source = TrainClips(rows, manifest.files_root, shape, spec.seed, box=box, reader=study.reader, device=device)
        keys = [(0, row) for row in range(len(rows))]
        if source.rows.decoded is not None:
            _read(source, keys)
    else:
        rows = _some(manifest.select(spec.split, "test"))
        extra = spec.extra_frames * spec.views.horizon
        source = eval_clips(path, spec, manifest, rows, extra, study.reader, device)
        keys = list(range(len(rows)))
    began = time.perf_counter()
    _read(source, keys)
    return {"per_s": round(len(keys) / (time.perf_counter() - began), 4), "samples": len(keys)}


def _read(source: TrainClips | EvalClips, keys: list) -> None:
    for key in keys:
        source[key]


def _some(rows: pd.DataFrame) -> pd.DataFrame:
    """Evenly spread over the rows."""
    return rows.iloc[np.unique(np.linspace(0, len(rows) - 1, SAMPLES).astype(int))].reset_index(drop=True)
