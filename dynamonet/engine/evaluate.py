"""Evaluation: every view of every test video scored exactly once."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from dynamonet.data.clips import EvalClips
from dynamonet.data.manifest import Manifest
from dynamonet.engine import interrupt
from dynamonet.engine.device import device_name, prepare_device
from dynamonet.engine.distribution import World
from dynamonet.engine.fit import build_for, clip_shape, load_manifest
from dynamonet.engine.weights import load_exactly, read_weights
from dynamonet.errors import UserError
from dynamonet.files import atomic_path, read_json
from dynamonet.models.classifier import Classifier
from dynamonet.models.output import ModelOutput
from dynamonet.records import Stopwatch, write_record
from dynamonet.spec import RunSpec, load_spec

VIDEOS_PER_BATCH = 16
VIEWS_PER_PASS = 32
"""Views that go through the network at once: the memory needed does not grow with the number of views."""
EXAMPLES = 4
"""Videos of the first batch whose predicted frames are kept for the figures."""


def evaluate(spec_path: Path, workers: int = 0) -> None:
    """Score the run's test videos and write `logits.parquet`, `evaluate.json` and example predictions.

    Raises UserError for weights or a manifest that do not fit, and VideoError for a video that breaks: a
    video is left out only if the manifest already says so.
    """
    spec_path = Path(spec_path).absolute()
    spec = load_spec(spec_path)
    watch = Stopwatch()
    world = World.of(os.environ)
    device = prepare_device(spec.threads, world.local_rank)
    manifest = load_manifest(spec_path, spec)
    model, weights_sha256 = _trained(spec_path.parent, spec, manifest)
    rows = manifest.select(spec.split, "test")
    with world.joined(device):
        clips = EvalClips(rows, manifest.root, clip_shape(spec), spec.views.clips, spec.views.crops)
        scores = score(spec, model.to(device).eval(), clips, device, workers, world)
    if not world.first:
        return
    metrics = write_scores(spec_path.parent, spec, manifest, rows, scores)
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
        provenance={"manifest_sha256": manifest.sha256, "threads": spec.threads, "world_size": world.size},
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


@dataclass
class Scores:
    """Per video, in the order of the rows: class scores (K,) averaged over views, and PSNR in dB."""

    classes: list[np.ndarray] = field(default_factory=list)
    psnr_db: list[float] = field(default_factory=list)
    psnr_copy_db: list[float] = field(default_factory=list)
    psnr_future_db: list[float] = field(default_factory=list)
    psnr_future_copy_db: list[float] = field(default_factory=list)
    examples: list[dict[str, np.ndarray]] = field(default_factory=list)

    def extend(self, more: "Scores") -> None:
        for name, values in vars(self).items():
            values.extend(getattr(more, name))


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
            views = batch["video"].to(device).float() / 255  # (B, V, C, T + extra, H, W)
            examples = 0 if scored or not world.first else EXAMPLES
            scored.append(_score_batch(model, views, spec.clip.frames, examples))
            report(sum(map(len, own[: len(scored)])), sum(map(len, own)))
    shares = world.gathered(scored)
    scores = Scores()
    for number in range(len(every) if shares else 0):
        scores.extend(shares[number % world.size][number // world.size])
    return scores


def _score_batch(model, views: Tensor, frames: int, examples: int) -> Scores:
    scores = Scores()
    video = views.flatten(0, 1)
    output = _in_passes(model, video[:, :, :frames])
    softmax = output.logits.softmax(-1).unflatten(0, views.shape[:2]).mean(1)
    scores.classes.extend(softmax.cpu().numpy())
    if output.predicted_frames is not None:
        _score_prediction(scores, output, video, views.shape[:2])
        _keep_examples(scores, output, video, range(0, len(video), views.shape[1])[:examples])
    return scores


def _in_passes(model, video: Tensor) -> ModelOutput:
    outputs = [model(part) for part in video.split(VIEWS_PER_PASS)]

    def joined(name: str) -> Tensor | None:
        parts = [getattr(output, name) for output in outputs]
        return None if parts[0] is None else torch.cat(parts)

    return ModelOutput(joined("logits"), joined("predicted_frames"), joined("filters"))


def _score_prediction(scores: Scores, output: ModelOutput, video: Tensor, shape: torch.Size) -> None:
    """PSNR over all frames of a clip, and of the last prediction alone, whose target the model has not seen."""
    frames, target = video[:, :, :-1], video[:, :, 1:]
    for prediction, everything, future in (
        (output.predicted_frames.clamp(0, 1), scores.psnr_db, scores.psnr_future_db),
        (frames, scores.psnr_copy_db, scores.psnr_future_copy_db),
    ):
        psnr_db = frame_psnr_db(prediction, target).unflatten(0, shape)  # (B, V, T)
        everything.extend(psnr_db.mean((1, 2)).tolist())
        future.extend(psnr_db[..., -1].mean(1).tolist())


def _keep_examples(scores: Scores, output: ModelOutput, video: Tensor, views: range) -> None:
    for view in views:
        scores.examples.append(
            {
                "frames": _pixels(video[view]),
                "predicted": _pixels(output.predicted_frames[view]),
                "filters": output.filters[view].cpu().numpy(),
            }
        )


def frame_psnr_db(predicted: Tensor, target: Tensor) -> Tensor:
    """PSNR of each frame. predicted, target: (N, C, T, H, W) in [0, 1]; returns (N, T), at most 100 dB."""
    error = (predicted - target).square().mean((1, 3, 4))
    return -10 * error.clamp_min(1e-10).log10()


def _pixels(video_cthw: Tensor) -> np.ndarray:
    """Frames (T, H, W, C) in uint8."""
    return (video_cthw.clamp(0, 1) * 255).round().byte().permute(1, 2, 3, 0).cpu().numpy()


def write_scores(run_dir: Path, spec: RunSpec, manifest: Manifest, rows: pd.DataFrame, scores: Scores) -> dict:
    """Write the per-video table and the examples; return the metrics."""
    table = pd.DataFrame({"id": rows["id"], "class_index": rows["class_index"]})
    metrics = {}
    if spec.task == "train":
        classes = np.stack(scores.classes)
        table = table.join(pd.DataFrame(classes, columns=[f"score_{k}" for k in range(classes.shape[1])]))
        metrics |= classification_metrics(classes, rows["class_index"].to_numpy())
    if scores.psnr_db:
        for name in ("psnr_db", "psnr_copy_db", "psnr_future_db", "psnr_future_copy_db"):
            table[name] = getattr(scores, name)
            metrics[name] = float(table[name].mean())
        examples = {key: np.stack([e[key] for e in scores.examples]) for key in scores.examples[0]}
        with atomic_path(run_dir / "predictions.npz") as temporary:
            np.savez_compressed(temporary, ids=rows["id"].to_numpy(str)[: len(scores.examples)], **examples)
    with atomic_path(run_dir / "logits.parquet") as temporary:
        table.to_parquet(temporary, index=False)
    return metrics


def classification_metrics(scores: np.ndarray, class_index: np.ndarray) -> dict[str, float]:
    """top-1, top-5 and mean class accuracy in [0, 1]. scores: (videos, K); class_index: (videos,).

    Top-5 is absent where there are five classes or fewer.
    """
    order = np.argsort(-scores, axis=1, kind="stable")
    hits = order == class_index[:, None]
    top1 = hits[:, 0]
    metrics = {
        "top1": float(top1.mean()),
        "mean_class_accuracy": float(np.mean([top1[class_index == k].mean() for k in np.unique(class_index)])),
    }
    if scores.shape[1] > 5:
        metrics["top5"] = float(hits[:, :5].any(1).mean())
    return metrics
