"""Generating dynamic motion filters from features.

The paper says that a clip generates T filters, each transforming frame t into frame t + 1; it does not say
how they are normalised or where they are generated. The choices made here are options, so that each can be
an ablation.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORMALISATIONS = ("sum1", "softmax", "raw")


def normalise_filters(raw: Tensor, normalisation: str) -> Tensor:
    """Turn raw filters (..., k, k) into filters: `sum1` has sum 1 and any sign, `softmax` is positive too."""
    if normalisation == "raw":
        return raw
    if normalisation == "softmax":
        return raw.flatten(-2).softmax(-1).view_as(raw)
    return raw - raw.mean((-2, -1), keepdim=True) + 1 / raw[0, 0].numel()


class FilterGenerator(nn.Module):
    """Generates one filter per frame from feature maps at several depths.

    Each map (N, C_i, T_i, H_i, W_i) is averaged over space and resampled to T steps, so that a frame's filter
    sees its own time; `pooled` averages over time as well (the ablation in which it does not). The last layer
    starts at zero weight and a bias that makes every filter the identity: before training, the prediction of
    a frame is the frame before it.
    """

    def __init__(
        self, channels: tuple[int, ...], size: int, hidden: int = 64, normalisation: str = "sum1", pooled: bool = False
    ):
        super().__init__()
        if size % 2 == 0 or size < 3:
            raise ValueError(f"filter_size must be odd and at least 3, not {size}")
        if normalisation not in NORMALISATIONS:
            raise ValueError(f"filter_normalisation must be one of {NORMALISATIONS}, not {normalisation!r}")
        self.size, self.normalisation, self.pooled = size, normalisation, pooled
        self.mix = nn.Sequential(
            nn.Conv1d(sum(channels), hidden, 3, padding=1, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
        )
        self.last = nn.Conv1d(hidden, size * size, 1)
        identity = torch.zeros(size, size)
        # softmax needs a large centre to start near the identity
        identity[size // 2, size // 2] = 5.0 if normalisation == "softmax" else 1.0
        with torch.no_grad():
            self.last.weight.zero_()
            self.last.bias.copy_(identity.flatten())

    def forward(self, features: list[Tensor], frames: int) -> Tensor:
        """Return filters (N, T, k, k) for T = `frames`."""
        steps = []
        for feature in features:
            over_time = feature.mean((-2, -1))
            if self.pooled:
                over_time = over_time.mean(-1, keepdim=True)
            steps.append(F.interpolate(over_time, size=frames, mode="linear", align_corners=False))
        raw = self.last(self.mix(torch.cat(steps, 1))).transpose(1, 2)
        return normalise_filters(raw.reshape(*raw.shape[:2], self.size, self.size), self.normalisation)
