"""How long a training step and a forward pass take on the device at hand, on noise of the right shape."""

import gc
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dynamonet.data.crop import Box
from dynamonet.data.device_batch import DeviceBatch, Finish, Pieces
from dynamonet.engine.acceleration import accelerate, as_input, autocast
from dynamonet.engine.device import nondeterministic_operator, prepare_device, seed_torch
from dynamonet.engine.distribution import World
from dynamonet.engine.inference import VIEWS_PER_PASS, forward_only
from dynamonet.engine.memory import is_out_of_memory
from dynamonet.engine.scores import score_views
from dynamonet.engine.update import Update
from dynamonet.errors import UserError
from dynamonet.measure.speed import peak_mib, reset_peak_mib, synchronise
from dynamonet.models.card import COLOURS
from dynamonet.models.catalogue import model_module
from dynamonet.models.classifier import build_classifier
from dynamonet.spec import RunSpec

WARM_UP, RUNS, RUNS_S = 2, (2, 20), 2.0
"""Runs that are not timed; fewest and most that are; seconds of them after which no further one begins."""
FAILURES = (RuntimeError, MemoryError, ValueError, UserError)
NO_MEMORY = "out of memory"


def measure_step(spec: RunSpec, clips: int, classes: int, device: torch.device) -> dict:
    """Training steps of `clips` clips, as one process does them alone.

    Returns clips_per_s, start_s (building, and what the first steps take longer), steps, and on a GPU its peak of
    memory in MiB; or a `problem`, where there is no memory for a step or an operator refuses.
    """
    began = time.perf_counter()
    prepare_device(spec.threads, 0, spec.recipe.deterministic, spec.recipe.precision)
    update, batch, problem = None, _batch(spec, clips, device), None
    reset_peak_mib(device)
    try:
        seed_torch("calibrate")
        model = build_classifier(spec.build, classes, spec.options, spec.clip).to(device)
        update = Update(spec, model, World(), classes)
        update.prepare()

        def step() -> None:
            loss = update.gradients(batch, 0)[0][0].item()
            update.apply(0, loss)

        seconds, start_s, runs = _timed(step, device, began)
    except FAILURES as error:
        problem = _refusal(error)
    # Here, and not above: the error's traceback holds the tensors of the step.
    peak = peak_mib(device)
    if problem == NO_MEMORY and update is not None:
        problem = update.memory_advice(batch, 0)
    update = batch = None
    _free(device)
    if problem is not None:
        return {"problem": problem}
    memory = {"peak_memory_mib": round(peak, 1)} if device.type == "cuda" else {}
    return {"clips_per_s": round(clips / seconds, 4), "start_s": start_s, "steps": runs, **memory}


def measure_pass(spec: RunSpec, classes: int, device: torch.device) -> dict:
    """Forward passes and scores of the views of as many videos as evaluation takes at once.

    Returns views_per_s, start_s and passes; or a `problem`, as `measure_step` does.
    """
    began = time.perf_counter()
    execution = forward_only(spec.execution)
    prepare_device(spec.threads, 0, execution.deterministic, execution.precision)
    views = spec.views.clips * spec.views.crops
    views *= max(1, VIEWS_PER_PASS // views)
    frames, problem = spec.clip.frames, None
    pixels = _noise(spec, views, frames + spec.extra_frames * spec.views.horizon, spec.views.crop or spec.clip.crop)
    try:
        seed_torch("calibrate")
        model = build_classifier(spec.build, classes, spec.options, spec.clip).to(device).eval()
        accelerate(model, execution)

        @torch.no_grad()
        def score() -> None:
            for part in as_input(pixels, execution, device).split(VIEWS_PER_PASS):
                with autocast(execution, device):
                    output = model(part[:, :, :frames])
                score_views(output, part[None, :, :COLOURS], frames)

        seconds, start_s, runs = _timed(score, device, began)
    except FAILURES as error:
        problem = _refusal(error)
    model = None
    _free(device)
    if problem is not None:
        return {"problem": problem}
    return {"views_per_s": round(views / seconds, 4), "start_s": start_s, "passes": runs}


def _batch(spec: RunSpec, clips: int, device: torch.device) -> dict:
    """A batch as a loader gives it: finished, or for a GPU in pieces that are finished there."""
    side = spec.clip.crop
    video = _noise(spec, clips, spec.clip.frames + spec.extra_frames, side)
    if device.type != "cpu":
        finish = Finish(side, ((Box(0, 0, side, side),),))
        video = DeviceBatch.of([Pieces([clip.movedim(0, -1)], finish) for clip in video])
    if device.type == "cuda":
        video = video.pin_memory()
    return {"video": video, "class_index": torch.zeros(clips, dtype=torch.long), "row": torch.arange(clips)}


def _noise(spec: RunSpec, clips: int, frames: int, side: int) -> Tensor:
    """uint8 (N, C, T, H, W), in memory with the channels last."""
    channels = model_module(spec.build).CARD.channels
    drawn = np.random.default_rng(0).integers(0, 256, (clips, frames, side, side, channels), np.uint8)
    return torch.from_numpy(drawn).movedim(-1, 1)


def _timed(run: Callable[[], None], device: torch.device, began: float) -> tuple[float, float, int]:
    """Median seconds of a run, those from `began` on that a job would take beside such runs, and the number of runs."""

    def once() -> float:
        synchronise(device)
        started = time.perf_counter()
        run()
        synchronise(device)
        return time.perf_counter() - started

    built_s = time.perf_counter() - began
    warm_s = [once() for _ in range(WARM_UP)]
    times_s: list[float] = []
    while len(times_s) < RUNS[0] or (len(times_s) < RUNS[1] and sum(times_s) < RUNS_S):
        times_s.append(once())
    seconds = float(np.median(times_s))
    return seconds, round(built_s + sum(max(0.0, one - seconds) for one in warm_s), 3), len(times_s)


def _refusal(error: Exception) -> str:
    """Why it cannot be done, in a sentence, or NO_MEMORY; raises what is neither."""
    if isinstance(error, UserError):
        return str(error)
    if (refused := nondeterministic_operator(error)) is not None:
        return str(refused)
    if not is_out_of_memory(error):
        raise error
    return NO_MEMORY


def _free(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
