"""What a network may return instead of a bare tensor of logits."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class ModelOutput:
    """Output of a model that does more than classify.

    logits: (N, num_classes).
    predicted_frames: (N, C, T, H, W) in [0, 1]; entry t is the prediction of frame t + 1 of the clip.
    filters: (N, T, k, k), what transformed frame t into that prediction.
    """

    logits: Tensor
    predicted_frames: Tensor | None = None
    filters: Tensor | None = None
