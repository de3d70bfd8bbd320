"""What evaluation measures: class scores and PSNR per video, and the metrics of all videos."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dynamonet.engine.accuracy import accuracy_bounds, classification_metrics
from dynamonet.errors import UserError
from dynamonet.files import atomic_path
from dynamonet.models.output import ModelOutput
from dynamonet.spec import RunSpec


@dataclass
class Scores:
    """Per video, in the order of the rows.

    classes, logits: (K,), softmax scores and logits averaged over views. psnr_db, psnr_copy_db: of frames 2 to T + 1,
    each predicted from, or a copy of, the one before. psnr_horizon_db, psnr_horizon_copy_db: (horizon,), of frames
    T + 1, T + 2, …, all predicted from, or copies of, frame T.
    """

    classes: list[np.ndarray] = field(default_factory=list)
    logits: list[np.ndarray] = field(default_factory=list)
    psnr_db: list[float] = field(default_factory=list)
    psnr_copy_db: list[float] = field(default_factory=list)
    psnr_horizon_db: list[np.ndarray] = field(default_factory=list)
    psnr_horizon_copy_db: list[np.ndarray] = field(default_factory=list)
    examples: list[dict[str, np.ndarray]] = field(default_factory=list)

    def extend(self, more: "Scores") -> None:
        for name, values in vars(self).items():
            values.extend(getattr(more, name))


def score_views(output: ModelOutput, views: Tensor, frames: int, examples: int = 0) -> Scores:
    """Scores of a batch of videos.

    views: (B, V, C, T + horizon, H, W) in [0, 1], of which the model saw the first T = `frames` frames; output: the
    model's, of all B·V clips. The first view of the first `examples` videos, where they
    have filters, is kept for figures. Raises UserError for
    a horizon that the model cannot reach.
    """
    scores = Scores()
    for kind, values in ((scores.classes, output.logits.softmax(-1)), (scores.logits, output.logits)):
        kind.extend(values.unflatten(0, views.shape[:2]).mean(1).cpu().numpy())
    if output.predicted_frames is None:
        return scores
    video = views.flatten(0, 1)
    seen, successors, later = video[:, :, :frames], video[:, :, 1 : frames + 1], video[:, :, frames:]
    for prediction, future, every_db, horizon_db in (
        (output.predicted_frames, _future(output, later.shape[2]), scores.psnr_db, scores.psnr_horizon_db),
        (seen, seen[:, :, -1:], scores.psnr_copy_db, scores.psnr_horizon_copy_db),
    ):
        psnr_db = frame_psnr_db(prediction.clamp(0, 1), successors).unflatten(0, views.shape[:2])  # (B, V, T)
        every_db.extend(psnr_db.mean((1, 2)).tolist())
        psnr_db = frame_psnr_db(future.clamp(0, 1), later).unflatten(0, views.shape[:2])  # (B, V, horizon)
        horizon_db.extend(psnr_db.mean(1).double().cpu().numpy())
    for clip in range(0, len(video) if output.filters is not None else 0, views.shape[1])[:examples]:
        scores.examples.append(
            {
                "frames": _pixels(video[clip, :, : frames + 1]),
                "predicted": _pixels(output.predicted_frames[clip]),
                "filters": output.filters[clip].cpu().numpy(),
            }
        )
    return scores


def _future(output: ModelOutput, horizon: int) -> Tensor:
    """Frames T + 1, T + 2, … as predicted from frame T: (N, C, horizon, H, W)."""
    first = output.predicted_frames[:, :, -1]
    if horizon == 1:
        return first.unsqueeze(2)
    # Here, so that the evaluation of a model without filters does not hang on the code of filters.
    from dynamonet.models.prediction import predict_future

    if output.filters is None:
        raise UserError(f"views.horizon is {horizon}, and this model predicts one frame, without filters: set it to 1")
    return torch.cat([first.unsqueeze(2), predict_future(first, output.filters[:, -1], horizon - 1)], 2)


def frame_psnr_db(predicted: Tensor, target: Tensor) -> Tensor:
    """PSNR of each frame. predicted, target: (N, C, T, H, W) in [0, 1]; returns (N, T), at most 100 dB."""
    error = (predicted - target).square().mean((1, 3, 4))
    return -10 * error.clamp_min(1e-10).log10()


def _pixels(video_cthw: Tensor) -> np.ndarray:
    """Frames (T, H, W, C) in uint8."""
    return (video_cthw.clamp(0, 1) * 255).round().byte().permute(1, 2, 3, 0).cpu().numpy()


def write_scores(
    run_dir: Path, spec: RunSpec, rows: pd.DataFrame, scores: Scores, unscored_class_index: np.ndarray
) -> dict:
    """Write the per-video table and the examples; return the metrics, which are means over videos.

    The table, `logits.parquet`, holds what every metric follows from: per video id, class_index, score_k (softmax
    averaged over views, which accuracy is computed from), logit_k (logits averaged over views, for those who fuse
    models or calibrate them) and PSNR; what of it a model does not give is left out. unscored_class_index: the classes
    of listed videos that cannot be read; where there are some, the metrics have `bounds`. psnr_horizon_db and its copy
    are lists, over the frames after the clip; psnr_future_db is the first of them. Raises UserError naming a video
    whose scores are not finite.
    """
    table = pd.DataFrame({"id": rows["id"], "class_index": rows["class_index"]})
    metrics = {}
    if spec.task != "pretrain":
        classes, class_index = np.stack(scores.classes), rows["class_index"].to_numpy()
        broken = ~np.isfinite(classes).all(1)
        if broken.any():
            name = rows["id"][broken.argmax()]
            raise UserError(f"{spec.run}: the scores of video {name} are not finite: train it again, or use fp32")
        for kind, values in (("score", classes), ("logit", np.stack(scores.logits))):
            table = table.join(pd.DataFrame(values, columns=[f"{kind}_{k}" for k in range(values.shape[1])]))
        metrics |= classification_metrics(classes, class_index)
        if len(unscored_class_index):
            metrics["bounds"] = accuracy_bounds(classes, class_index, unscored_class_index)
    if scores.psnr_db:
        for kind in ("", "_copy"):
            every_db, horizon_db = getattr(scores, f"psnr{kind}_db"), getattr(scores, f"psnr_horizon{kind}_db")
            table[f"psnr{kind}_db"] = every_db
            for step, step_db in enumerate(np.stack(horizon_db, axis=1), start=1):
                table[f"psnr_horizon{kind}_{step}_db"] = step_db
            means_db = np.mean(horizon_db, axis=0).tolist()
            metrics |= {
                f"psnr{kind}_db": float(np.mean(every_db)),
                f"psnr_future{kind}_db": means_db[0],
                f"psnr_horizon{kind}_db": means_db,
            }
    if scores.examples:
        examples = {key: np.stack([e[key] for e in scores.examples]) for key in scores.examples[0]}
        with atomic_path(run_dir / "predictions.npz") as temporary:
            np.savez_compressed(temporary, ids=rows["id"].to_numpy(str)[: len(scores.examples)], **examples)
    with atomic_path(run_dir / "logits.parquet") as temporary:
        table.to_parquet(temporary, index=False)
    return metrics
