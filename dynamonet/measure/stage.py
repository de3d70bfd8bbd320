"""The measure stage: one record per model."""

from pathlib import Path

import torch

from dynamonet.engine.device import device_name, prepare_device, seed_torch
from dynamonet.measure.cost import count_cost
from dynamonet.measure.speed import measure_speed
from dynamonet.models.catalogue import model_module
from dynamonet.models.classifier import build_classifier
from dynamonet.records import Stopwatch, write_record
from dynamonet.spec import ModelSpec, read_spec


def measure(spec_path: Path) -> None:
    """Count and time the model of `<model>.spec.json`; write `<model>.json` beside it."""
    spec_path = Path(spec_path).absolute()
    spec = read_spec(ModelSpec, spec_path)
    watch = Stopwatch()
    device = prepare_device(spec.threads)
    seed_torch("measure")
    model = build_classifier(spec.build, spec.num_classes, spec.options, spec.clip)
    video = torch.rand(1, model_module(spec.build).CARD.channels, spec.clip.frames, spec.clip.crop, spec.clip.crop)
    cost = count_cost(model, video)
    speed = measure_speed(model.to(device), video.to(device))
    views = spec.views.clips * spec.views.crops
    write_record(
        spec_path.with_name(f"{spec.model}.json"),
        "measure",
        model=spec.model,
        clip=spec.clip.model_dump(),
        metrics={
            "parameters_m": cost.parameters_m,
            "gmacs_per_clip": cost.gmacs_per_clip,
            "views_per_video": views,
            "gmacs_per_video": cost.gmacs_per_clip * views,
            **speed,
        },
        counts={"classes": spec.num_classes},
        time=watch.read(),
        device=device_name(device),
        provenance={"threads": spec.threads},
    )
