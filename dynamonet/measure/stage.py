"""The measure stage: one record per model."""

from pathlib import Path

import torch

from dynamonet.engine.device import device_name, prepare_device, seed_torch
from dynamonet.errors import UserError
from dynamonet.measure.cost import count_cost
from dynamonet.measure.speed import measure_speed, reset_peak_mib
from dynamonet.models.catalogue import model_module
from dynamonet.models.classifier import build_classifier, check_output
from dynamonet.records import Stopwatch, write_record
from dynamonet.spec import ModelSpec, read_spec


def measure(spec_path: Path, speed: bool = True, precision: str = "fp32") -> None:
    """Count and time the model of `<model>.spec.json`; write `<model>.json` beside it.

    The clip has the crop of the spec's views. speed: time it too. precision: as in a recipe, of what is timed.
    Raises UserError naming the model's file if it does not give finite logits of the classes asked for.
    """
    spec_path = Path(spec_path).absolute()
    spec = read_spec(ModelSpec, spec_path)
    watch = Stopwatch()
    # Without determinism, so that cuDNN takes its fastest algorithms: only times and sizes are kept.
    device = prepare_device(spec.threads, deterministic=False, precision=precision)
    seed_torch("measure")
    model = build_classifier(spec.build, spec.num_classes, spec.options, spec.clip).to(device)
    clip = spec.clip.model_copy(update={"crop": spec.views.crop or spec.clip.crop})
    video = torch.rand(1, model_module(spec.build).CARD.channels, clip.frames, clip.crop, clip.crop, device=device)
    loaded_mib = reset_peak_mib(device)
    check_output(model, video)
    speeds = measure_speed(model, video, loaded_mib, precision) if speed else {}
    try:
        cost = count_cost(model, video)
    except UserError as error:
        raise UserError(f"{model.file}: {error}") from error
    views = spec.views.clips * spec.views.crops
    write_record(
        spec_path.with_name(f"{spec.model}.json"),
        "measure",
        model=spec.model,
        measured=spec.network(),
        clip=clip.model_dump(),
        metrics={
            "parameters_m": cost.parameters_m,
            "gmacs_per_clip": cost.gmacs_per_clip,
            "gmacs_products_per_clip": cost.gmacs_products,
            "gmacs_training_norms_per_clip": cost.gmacs_training_norms,
            "views_per_video": views,
            "gmacs_per_video": cost.gmacs_per_clip * views,
            **speeds,
        },
        counts={"classes": spec.num_classes},
        time=watch.read(),
        device=device_name(device),
        provenance={"threads": spec.threads, "precision": precision},
    )
