"""Generating dynamic motion filters from features.

The paper says that a clip generates T filters, each transforming frame t into frame t + 1; it does not say
how they are normalised, whether colours share them, or where they are generated. The choices made here are
options, so that each can be an ablation.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

SOFTMAX_CENTRE = 0.95
"""Weight of the centre of a softmax filter at the start. An exact identity would need an infinite logit, and from
0.99 filters learn slower."""


@dataclass(frozen=True)
class FilterShape:
    """The filters of one frame: (S, C', k, k), finest scale first; C' is 1 where the colours share a filter."""

    size: int
    """k, in pixels of the filter's own scale, odd."""
    scales: int = 1
    """S: scale s works on the frame at 1/2^s of its size."""
    channels: int = 1
    """C'."""

    @property
    def dimensions(self) -> tuple[int, int, int, int]:
        return self.scales, self.channels, self.size, self.size

    @property
    def numel(self) -> int:
        """d = S·C'·k², the length of a frame's flattened filters."""
        return math.prod(self.dimensions)

    def identity(self) -> Tensor:
        """The filters (S, C', k, k) that leave a frame as it is."""
        identity = torch.zeros(self.dimensions)
        identity[..., self.size // 2, self.size // 2] = 1
        return identity

    def raw_identity(self, normalisation: str) -> Tensor:
        """What `normalise_filters` turns into the identity, for softmax nearly: see SOFTMAX_CENTRE."""
        if normalisation != "softmax":
            return self.identity()
        return math.log(SOFTMAX_CENTRE / (1 - SOFTMAX_CENTRE) * (self.size**2 - 1)) * self.identity()


def normalise_filters(raw: Tensor, normalisation: str) -> Tensor:
    """Turn raw filters (..., k, k) into filters: `sum1` has sum 1 and any sign, `softmax` is positive too."""
    if normalisation == "raw":
        return raw
    if normalisation == "softmax":
        return raw.flatten(-2).softmax(-1).view_as(raw)
    return raw - raw.mean((-2, -1), keepdim=True) + 1 / raw.shape[-1] ** 2


def resampling_weights(inputs: int, outputs: int, like: Tensor) -> Tensor:
    """The matrix (inputs, outputs) whose product with x (..., inputs) interpolates x linearly to `outputs` steps.

    Equal to `F.interpolate(x, size=outputs, mode="linear")`, whose backward on GPUs is not deterministic.
    """
    steps = torch.arange(outputs, dtype=like.dtype, device=like.device)
    positions = ((steps + 0.5) * (inputs / outputs) - 0.5).clamp(0, inputs - 1)
    distances = torch.arange(inputs, dtype=like.dtype, device=like.device)[:, None] - positions
    return (1 - distances.abs()).clamp(min=0)


class FilterGenerator(nn.Module):
    """Generates the filters of every frame from feature maps at several depths.

    Each map (N, C_i, T_i, H_i, W_i) is averaged over space and resampled to T steps, so that a frame's filters
    see their own time; `pooled` averages over time as well (the ablation in which they do not). The last layer
    starts at zero weight and a bias that makes every filter the identity: before training, the prediction of
    a frame is the frame before it.
    """

    def __init__(
        self,
        channels: tuple[int, ...],
        shape: FilterShape,
        normalisation: str = "sum1",
        pooled: bool = False,
        hidden: int = 64,
    ):
        super().__init__()
        self.shape, self.normalisation, self.pooled = shape, normalisation, pooled
        self.mix = nn.Sequential(
            nn.Conv1d(sum(channels), hidden, 3, padding=1, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
        )
        self.last = nn.Conv1d(hidden, shape.numel, 1)
        with torch.no_grad():
            self.last.weight.zero_()
            self.last.bias.copy_(shape.raw_identity(normalisation).flatten())

    def forward(self, features: list[Tensor], frames: int) -> Tensor:
        """Return filters (N, T, S, C', k, k) for T = `frames`, in fp32 at least, under autocast too.

        In bf16 a filter's weights would be rounded to 8 bits, and a copied frame darkened visibly.
        """
        with torch.autocast(features[0].device.type, enabled=False):
            steps = []
            for feature in features:
                over_time = feature.mean((-2, -1), dtype=torch.promote_types(feature.dtype, torch.float32))
                if self.pooled:
                    over_time = over_time.mean(-1, keepdim=True)
                steps.append(over_time @ resampling_weights(over_time.shape[-1], frames, over_time))
            raw = self.last(self.mix(torch.cat(steps, 1))).transpose(1, 2)
            return normalise_filters(raw.reshape(*raw.shape[:2], *self.shape.dimensions), self.normalisation)


class StaticFilters(nn.Module):
    """One learned filter per frame of the clip, the same for every clip: the control that sees no video.

    T·S·C'·k² parameters. It has as many filters as a generator gives a clip, and learns the average motion of
    the data; what a generator adds to it is due to seeing the clip. Starts as the identity.
    """

    def __init__(self, frames: int, shape: FilterShape, normalisation: str = "sum1"):
        super().__init__()
        self.shape, self.normalisation = shape, normalisation
        self.raw = nn.Parameter(shape.raw_identity(normalisation).repeat(frames, 1, 1, 1, 1))

    def forward(self, features: list[Tensor], frames: int) -> Tensor:
        """Return the filters (N, T, S, C', k, k); of `features` only the number of clips matters."""
        if frames != len(self.raw):
            raise ValueError(f"the model was built for clips of {len(self.raw)} frames, not {frames}")
        return normalise_filters(self.raw, self.normalisation).expand(len(features[0]), *self.raw.shape)
