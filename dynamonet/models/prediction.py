"""Predicting frames with dynamic filters: the next one of each, at one scale or several, and later ones."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dynamonet.models.filter_operator import apply_dynamic_filters
from dynamonet.models.options import check_scales


def predict_frames(frames: Tensor, filters: Tensor) -> Tensor:
    """The prediction of each frame's successor.

    frames: (N, C, T, H, W). filters: (N, T, S, C', k, k), finest scale first, C' = 1 (shared by the colours) or C.
    Returns (N, C, T, H, W).

    With several scales a frame is taken apart into its Laplacian pyramid (Burt and Adelson, 1983; here with
    2 × 2 means down and bilinear interpolation up), each level is filtered by its own filter, and the levels are
    put together again, coarse to fine. A filter of size k at scale s moves what its level holds by up to
    (k - 1) / 2 · 2^s pixels; identity filters give the frame back. Raises ValueError if H or W cannot be halved
    S - 1 times.
    """
    scales = filters.shape[2]
    check_scales(scales, *frames.shape[-2:])
    levels = [frames]
    for _ in range(scales - 1):
        levels.append(_halved(levels[-1]))
    predicted = _filtered(levels[-1], filters[:, :, -1])
    for scale in range(scales - 2, -1, -1):
        band = levels[scale] - _doubled(levels[scale + 1])
        predicted = _doubled(predicted) + _filtered(band, filters[:, :, scale])
    return predicted


def predict_future(frame: Tensor, filters: Tensor, steps: int) -> Tensor:
    """The frames that follow if the motion goes on: the same filters, applied again and again to their own output.

    frame: (N, C, H, W). filters: (N, S, C', k, k), those of that frame. Returns (N, C, `steps`, H, W). Values are
    not clamped. Raises ValueError as `predict_frames` does.
    """
    predicted, filters = [frame.unsqueeze(2)], filters.unsqueeze(1)
    for _ in range(steps):
        predicted.append(predict_frames(predicted[-1], filters))
    return torch.cat(predicted[1:], 2)


def _filtered(level: Tensor, filters: Tensor) -> Tensor:
    """level: (N, C, T, h, w). filters: (N, T, C', k, k)."""
    return apply_dynamic_filters(level, filters[:, :, 0] if filters.shape[2] == 1 else filters)


def _halved(frames: Tensor) -> Tensor:
    n, c, t, h, w = frames.shape
    return F.avg_pool2d(frames.reshape(n, c * t, h, w), 2).view(n, c, t, h // 2, w // 2)


def _doubled(frames: Tensor) -> Tensor:
    """Bilinear interpolation to twice the size, by sums: `F.interpolate` has no deterministic backward on GPUs."""
    return _doubled_along(_doubled_along(frames, -1), -2)


def _doubled_along(frames: Tensor, axis: int) -> Tensor:
    length = frames.shape[axis]
    before = torch.cat([frames.narrow(axis, 0, 1), frames.narrow(axis, 0, length - 1)], axis)
    after = torch.cat([frames.narrow(axis, 1, length - 1), frames.narrow(axis, length - 1, 1)], axis)
    return torch.stack([frames.lerp(before, 0.25), frames.lerp(after, 0.25)], axis).flatten(axis - 1, axis)
