"""What the speed of a job depends on, as plain settings: two jobs with equal ones take equal time. Free of torch."""

from typing import Any

from dynamonet.recipe import Execution
from dynamonet.spec import RunSpec

EXECUTION = tuple(Execution.model_fields)
FORWARD = tuple(name for name in EXECUTION if name not in ("compile", "gradient_checkpointing"))
"""Of an evaluation, which neither compiles nor recomputes."""


def _network(spec: RunSpec, crop: int) -> dict[str, Any]:
    return {"build": spec.build, "options": spec.options, "frames": spec.clip.frames, "crop": crop}


def step_settings(spec: RunSpec, processes: int) -> dict[str, Any]:
    """Of a training step of one of `processes` processes, without the reading of clips.

    What costs next to nothing is left out: classes, rates, the kind of prediction loss.
    """
    recipe = spec.recipe
    return {
        **_network(spec, spec.clip.crop),
        "task": spec.task,
        "extra_frames": spec.extra_frames,
        "clips_per_process": recipe.batch_size // processes,
        **{name: getattr(recipe, name) for name in (*EXECUTION, "accumulation", "optimiser")},
        "trainable": list(recipe.trainable),
        "averages": recipe.ema_decay is not None,
        "predicts": recipe.prediction_weight > 0,
        "mixes": bool(recipe.mixup or recipe.cutmix),
        "threads": spec.threads,
    }


def pass_settings(spec: RunSpec) -> dict[str, Any]:
    """Of a forward pass of views, as evaluation and retrieval do it, without the reading of videos."""
    views = spec.views
    return {
        **_network(spec, views.crop or spec.clip.crop),
        "views": views.clips * views.crops,
        "horizon": views.horizon,
        **{name: getattr(spec.execution, name) for name in FORWARD},
        "threads": spec.threads,
    }


def _data(spec: RunSpec) -> dict[str, Any]:
    return {
        "dataset": spec.dataset,
        "from": spec.dataset_key,
        "copies": spec.copies and spec.copies.model_dump(mode="json"),
        "clip": spec.clip.model_dump(mode="json"),
        "extra_frames": spec.extra_frames,
    }


def clip_settings(spec: RunSpec) -> dict[str, Any]:
    """Of reading a training clip."""
    return {**_data(spec), "reads": "clip", "cuts": spec.recipe.crop}


def view_settings(spec: RunSpec) -> dict[str, Any]:
    """Of reading the views of a test video."""
    return {**_data(spec), "reads": "views", "views": spec.views.model_dump(mode="json")}
