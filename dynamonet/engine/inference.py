"""What evaluation and retrieval share: a run's trained model, the views of its videos, and one pass over them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from dynamonet.data.clips import EvalClips
from dynamonet.data.device_batch import collate, on_device
from dynamonet.data.manifest import Manifest
from dynamonet.engine import interrupt
from dynamonet.engine.device import determinism, device_name
from dynamonet.engine.distribution import World
from dynamonet.engine.fit import build_for, clip_shape, flow_root
from dynamonet.engine.weights import load_exactly, read_weights
from dynamonet.errors import UserError
from dynamonet.files import read_json
from dynamonet.models.classifier import Classifier
from dynamonet.recipe import Execution
from dynamonet.spec import RunSpec

VIDEOS_PER_BATCH = 16
VIEWS_PER_PASS = 32
"""Views that are processed at once, if they are not those of one video, and that go through the network at once."""

Result = TypeVar("Result")


def forward_only(execution: Execution) -> Execution:
    """How a network is run that is not trained: compiling does not pay for one pass, nor does recomputing."""
    return execution.model_copy(update={"compile": False, "gradient_checkpointing": False})


def passed(spec: RunSpec, manifest: Manifest, world: World, device: torch.device) -> dict:
    """What the record of a pass over a run's videos says of the run and of how it was done."""
    return {
        "run": spec.run,
        "spec_sha256": spec.sha256,
        "views": spec.views.model_dump(),
        "device": device_name(device),
        "provenance": {
            "manifest_sha256": manifest.sha256,
            "threads": spec.threads,
            "world_size": world.size,
            "determinism": determinism(forward_only(spec.execution), device),
        },
    }


def trained_model(run_dir: Path, spec: RunSpec, manifest: Manifest) -> tuple[Classifier, str]:
    """The run's model with its final weights, and their SHA-256.

    Raises UserError if the run is not finished, or was fitted on another manifest.
    """
    state, weights_sha256 = read_weights(run_dir)
    fitted = read_json(run_dir / "fit.json")["provenance"]["manifest_sha256"]
    if fitted != manifest.sha256:
        raise UserError(
            f"{spec.run} was trained on another manifest of {spec.dataset}: remove its folder and run again"
        )
    model = build_for(spec, manifest)
    load_exactly(model.net, state, str(run_dir / "model.safetensors"))
    return model, weights_sha256


def eval_clips(
    spec_path: Path,
    spec: RunSpec,
    manifest: Manifest,
    rows: pd.DataFrame,
    extra_frames: int,
    reader: str,
    device: torch.device,
) -> EvalClips:
    """The views of the run's spec of some of the manifest's videos, with `extra_frames` frames after each clip."""
    shape = replace(clip_shape(spec), extra_frames=extra_frames, crop=spec.views.crop or spec.clip.crop)
    return EvalClips(
        rows,
        manifest.files_root,
        shape,
        spec.views.clips,
        spec.views.crops,
        short_side=spec.views.short_side,
        frame=spec.views.frame,
        flow_root=flow_root(spec_path, spec),
        reader=reader,
        device=device,
    )


@torch.no_grad()
def over_videos(
    title: str, clips: EvalClips, process: Callable[[Tensor, int], Result], workers: int, world: World
) -> list[Result]:
    """What `process` makes of all videos, in their order, at rank 0; nothing elsewhere.

    process: called with the views of a few videos, uint8 (B, V, C, T, H, W), on the device of `clips`, and the row of
    the first.

    Processes share out whole batches: the last bits of a result depend on what else goes through the network with
    it, and would otherwise depend on the number of processes.
    """
    every = [range(len(clips))[first : first + VIDEOS_PER_BATCH] for first in range(0, len(clips), VIDEOS_PER_BATCH)]
    own = every[world.rank :: world.size]
    with interrupt.hidden_from_children():
        loader = DataLoader(
            clips,
            batch_sampler=own,
            num_workers=workers,
            collate_fn=collate,
            pin_memory=clips.device.type == "cuda",
            worker_init_fn=interrupt.heed_parent,
        )
        batches = iter(loader)
    done = []
    with world.progress(title) as report:
        for rows, batch in zip(own, batches, strict=True):
            # As many videos at once as have so few views: the memory needed grows with those of one video alone.
            at_once = max(1, VIEWS_PER_PASS // clips.views)
            done.append(
                [
                    process(on_device(batch["video"][first : first + at_once], clips.device), rows[first])
                    for first in range(0, len(rows), at_once)
                ]
            )
            report(sum(map(len, own[: len(done)])), sum(map(len, own)))
    shares = world.gathered(done)
    batches_in_order = (shares[number % world.size][number // world.size] for number in range(len(every)))
    return [result for batch in batches_in_order for result in batch] if shares else []
