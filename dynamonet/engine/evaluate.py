"""Evaluation: every view of every test video scored exactly once."""

import os
from pathlib import Path

import torch
from torch import Tensor

from dynamonet.data.clips import EvalClips
from dynamonet.engine.acceleration import accelerate, as_input, autocast
from dynamonet.engine.device import prepare_device
from dynamonet.engine.distribution import World
from dynamonet.engine.fit import load_manifest
from dynamonet.engine.inference import VIEWS_PER_PASS, eval_clips, forward_only, over_videos, passed, trained_model
from dynamonet.engine.scores import Scores, score_views, write_scores
from dynamonet.models.card import COLOURS
from dynamonet.models.output import ModelOutput
from dynamonet.records import Stopwatch, write_record
from dynamonet.spec import RunSpec, load_spec

EXAMPLES = 4
"""The first videos, whose predicted frames are kept for the figures."""


def evaluate(spec_path: Path, workers: int = 0, reader: str = "pyav") -> None:
    """Score the run's test videos and write `logits.parquet`, `evaluate.json` and example predictions.

    Raises UserError for weights or a manifest that do not fit, and VideoError for a video that breaks: a
    video is left out only if the manifest already says so.
    """
    spec_path = Path(spec_path).absolute()
    spec = load_spec(spec_path)
    watch = Stopwatch()
    world = World.of(os.environ)
    execution = forward_only(spec.execution)
    device = prepare_device(spec.threads, world.local_rank, execution.deterministic, execution.precision)
    manifest = load_manifest(spec_path, spec)
    model, weights_sha256 = trained_model(spec_path.parent, spec, manifest)
    rows, excluded = manifest.select(spec.split, "test"), manifest.excluded(spec.split, "test")
    with world.joined(device):
        # A model that predicts is told of its target by a frame more; evaluation looks `horizon` frames ahead.
        clips = eval_clips(spec_path, spec, manifest, rows, spec.extra_frames * spec.views.horizon, reader, device)
        accelerate(model.to(device), execution)
        scores = score(spec, model.eval(), clips, device, workers, world)
    if not world.first:
        return
    metrics = write_scores(spec_path.parent, spec, rows, scores, excluded["class_index"].to_numpy())
    write_record(
        spec_path.parent / "evaluate.json",
        "evaluate",
        metrics=metrics,
        counts={
            "listed": len(rows) + len(excluded),
            "scored": len(rows),
            "unusable": excluded[["id", "path", "reason"]].to_dict("records"),
        },
        **passed(spec, manifest, world, device),
        weights_sha256=weights_sha256,
        time=watch.read(),
    )


def score(spec: RunSpec, model, clips: EvalClips, device: torch.device, workers: int, world: World) -> Scores:
    """All scores at rank 0; none elsewhere."""

    def process(videos: Tensor, row: int) -> Scores:
        """videos: uint8 (B, V, C, T + horizon, H, W)."""
        video = as_input(videos.flatten(0, 1), spec.execution, device)
        with autocast(spec.execution, device):
            output = _in_passes(model, video[:, :, : spec.clip.frames])
        views = video[:, :COLOURS].unflatten(0, videos.shape[:2])
        return score_views(output, views, spec.clip.frames, examples=max(0, EXAMPLES - row))

    scores = Scores()
    for part in over_videos(f"evaluate {spec.run}", clips, process, workers, world):
        scores.extend(part)
    return scores


def _in_passes(model, video: Tensor) -> ModelOutput:
    outputs = [model(part) for part in video.split(VIEWS_PER_PASS)]

    def joined(name: str) -> Tensor | None:
        parts = [getattr(output, name) for output in outputs]
        return None if parts[0] is None else torch.cat(parts).float()

    return ModelOutput(joined("logits"), joined("predicted_frames"), joined("filters"))
