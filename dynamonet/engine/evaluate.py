"""Evaluation: every view of every test video scored exactly once."""

import os
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from dynamonet.data.clips import EvalClips
from dynamonet.data.manifest import Manifest
from dynamonet.engine import interrupt
from dynamonet.engine.acceleration import accelerate, as_input, autocast
from dynamonet.engine.device import determinism, device_name, prepare_device
from dynamonet.engine.distribution import World
from dynamonet.engine.fit import build_for, clip_shape, flow_root, load_manifest
from dynamonet.engine.scores import Scores, score_views, write_scores
from dynamonet.engine.weights import load_exactly, read_weights
from dynamonet.errors import UserError
from dynamonet.files import read_json
from dynamonet.models.card import COLOURS
from dynamonet.models.classifier import Classifier
from dynamonet.models.output import ModelOutput
from dynamonet.records import Stopwatch, write_record
from dynamonet.spec import RunSpec, load_spec

VIDEOS_PER_BATCH = 16
VIEWS_PER_PASS = 32
"""Views that are scored at once, if they are not those of one video, and that go through the network at once."""
EXAMPLES = 4
"""Videos of the first batch whose predicted frames are kept for the figures."""


def evaluate(spec_path: Path, workers: int = 0, reader: str = "pyav") -> None:
    """Score the run's test videos and write `logits.parquet`, `evaluate.json` and example predictions.

    Raises UserError for weights or a manifest that do not fit, and VideoError for a video that breaks: a
    video is left out only if the manifest already says so.
    """
    spec_path = Path(spec_path).absolute()
    spec = load_spec(spec_path)
    watch = Stopwatch()
    world = World.of(os.environ)
    # Compiling does not pay for one pass, and without gradients there is nothing to recompute.
    execution = spec.execution.model_copy(update={"compile": False, "gradient_checkpointing": False})
    device = prepare_device(spec.threads, world.local_rank, execution.deterministic, execution.precision)
    manifest = load_manifest(spec_path, spec)
    model, weights_sha256 = _trained(spec_path.parent, spec, manifest)
    rows = manifest.select(spec.split, "test")
    with world.joined(device):
        # A model that predicts is told of its target by a frame more; evaluation looks `horizon` frames ahead.
        extra_frames, crop = spec.extra_frames * spec.views.horizon, spec.views.crop or spec.clip.crop
        shape = replace(clip_shape(spec), extra_frames=extra_frames, crop=crop)
        flow = flow_root(spec_path, spec)
        clips = EvalClips(rows, manifest.root, shape, spec.views.clips, spec.views.crops, flow)
        accelerate(model.to(device), execution)
        scores = score(spec, model.eval(), clips, device, workers, world)
    if not world.first:
        return
    metrics = write_scores(spec_path.parent, spec, rows, scores)
    excluded = manifest.excluded(spec.split, "test")
    write_record(
        spec_path.parent / "evaluate.json",
        "evaluate",
        run=spec.run,
        spec_sha256=spec.sha256,
        metrics=metrics,
        counts={
            "listed": len(rows) + len(excluded),
            "scored": len(rows),
            "unusable": excluded[["id", "path", "reason"]].to_dict("records"),
        },
        views=spec.views.model_dump(),
        weights_sha256=weights_sha256,
        time=watch.read(),
        device=device_name(device),
        provenance={
            "manifest_sha256": manifest.sha256,
            "threads": spec.threads,
            "world_size": world.size,
            "determinism": determinism(execution, device),
        },
    )


def _trained(run_dir: Path, spec: RunSpec, manifest: Manifest) -> tuple[Classifier, str]:
    """The run's model with its final weights, and their SHA-256."""
    state, weights_sha256 = read_weights(run_dir)
    fitted = read_json(run_dir / "fit.json")["provenance"]["manifest_sha256"]
    if fitted != manifest.sha256:
        raise UserError(
            f"{spec.run} was trained on another manifest of {spec.dataset}: remove its folder and run again"
        )
    model = build_for(spec, manifest)
    load_exactly(model.net, state, str(run_dir / "model.safetensors"))
    return model, weights_sha256


@torch.no_grad()
def score(spec: RunSpec, model, clips: EvalClips, device: torch.device, workers: int, world: World) -> Scores:
    """All scores at rank 0; none elsewhere.

    Processes share out whole batches: the last bits of a score depend on what else goes through the network with
    it, and would otherwise depend on the number of processes.
    """
    every = [range(len(clips))[first : first + VIDEOS_PER_BATCH] for first in range(0, len(clips), VIDEOS_PER_BATCH)]
    own = every[world.rank :: world.size]
    with interrupt.hidden_from_children():
        loader = DataLoader(clips, batch_sampler=own, num_workers=workers, worker_init_fn=interrupt.heed_parent)
        batches = iter(loader)
    scored = []
    with world.progress(f"evaluate {spec.run}") as report:
        for batch in batches:
            scored.append(Scores())
            # As many videos at once as have so few views: the memory needed grows with those of one video alone.
            for videos in batch["video"].split(max(1, VIEWS_PER_PASS // batch["video"].shape[1])):
                examples = EXAMPLES - len(scored[0].examples) if len(scored) == 1 and world.first else 0
                scored[-1].extend(_score_videos(spec, model, videos, device, examples))
            report(sum(map(len, own[: len(scored)])), sum(map(len, own)))
    shares = world.gathered(scored)
    scores = Scores()
    for number in range(len(every) if shares else 0):
        scores.extend(shares[number % world.size][number // world.size])
    return scores


def _score_videos(spec: RunSpec, model, videos: Tensor, device: torch.device, examples: int) -> Scores:
    """videos: uint8 (B, V, C, T + horizon, H, W)."""
    video = as_input(videos.flatten(0, 1), spec.execution, device)
    with autocast(spec.execution, device):
        output = _in_passes(model, video[:, :, : spec.clip.frames])
    views = video[:, :COLOURS].unflatten(0, videos.shape[:2])
    return score_views(output, views, spec.clip.frames, examples)


def _in_passes(model, video: Tensor) -> ModelOutput:
    outputs = [model(part) for part in video.split(VIEWS_PER_PASS)]

    def joined(name: str) -> Tensor | None:
        parts = [getattr(output, name) for output in outputs]
        return None if parts[0] is None else torch.cat(parts).float()

    return ModelOutput(joined("logits"), joined("predicted_frames"), joined("filters"))
