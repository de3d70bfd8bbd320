"""What a network may return instead of a bare tensor of logits."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class ModelOutput:
    """Output of a model that does more than classify.

    logits: (N, num_classes).
    predicted_frames: (N, C, T, H, W), near [0, 1] but not clamped; entry t is the prediction of frame t + 1 of
    the clip.
    filters: (N, T, S, C', k, k), what transformed frame t into that prediction: S scales, finest first, and C' = 1
    where the colours share a filter, else C.
    representation: (N, features), what the classifier's linear layer sees.
    """

    logits: Tensor
    predicted_frames: Tensor | None = None
    filters: Tensor | None = None
    representation: Tensor | None = None
