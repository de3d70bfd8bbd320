"""Pixels of any size to the square that a network sees: the same bytes whatever the device.

Antialiased bilinear resizing of uint8 as torch does it on CPUs, after Pillow: first each row, then each column; every
value is a sum of pixels times integer weights, rounded. On other devices torch resizes floats, and every seventh value
differs by a grey level. There the same integer sums are taken here.
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

FRAMES_PER_PASS = 32
"""Frames that are resized at once where the sums are taken here: their addends need memory."""


def resized(pixels: Tensor, crop: int) -> Tensor:
    """uint8 (T, H, W, C) to uint8 (T, crop, crop, C)."""
    if pixels.shape[1:3] == (crop, crop):
        return pixels
    if not pixels.is_cpu:
        return torch.cat([resized_by_sums(part, crop) for part in pixels.split(FRAMES_PER_PASS)])
    # A view with the channels last, as torch resizes fastest: in another layout it takes four times as long.
    return torch.nn.functional.interpolate(
        pixels.permute(0, 3, 1, 2), (crop, crop), mode="bilinear", antialias=True
    ).permute(0, 2, 3, 1)


def resized_by_sums(pixels: Tensor, crop: int) -> Tensor:
    """What `resized` gives, by integer arithmetic that is the same on every device."""
    for axis in (2, 1):
        if pixels.shape[axis] != crop:
            pixels = _resampled(pixels, axis, crop)
    return pixels


def _resampled(pixels: Tensor, axis: int, size: int) -> Tensor:
    index, weight, precision = _addends(pixels.shape[axis], size, pixels.device)
    addends = pixels.index_select(axis, index.flatten()).unflatten(axis, index.shape).to(torch.int32)
    addends *= weight.view(*weight.shape, *[1] * (pixels.ndim - 1 - axis))
    sums = addends.sum(axis + 1, dtype=torch.int32).add_(1 << precision - 1)
    return sums.bitwise_right_shift_(precision).clamp_(0, 255).to(torch.uint8)


@lru_cache(maxsize=1024)
def _addends(pixels: int, size: int, device: torch.device) -> tuple[Tensor, Tensor, int]:
    """Of each of `size` resized pixels, the pixels (size, n) and integer weights (size, n) it is the sum of.

    The third value is the bits of the weights that come after the point.
    """
    scale = pixels / size
    support = max(scale, 1.0)  # of the triangle, which is widened where pixels become fewer
    centre = scale * (np.arange(size) + 0.5)
    first = np.maximum((centre - support + 0.5).astype(int), 0)
    count = np.minimum((centre + support + 0.5).astype(int), pixels) - first
    place = np.arange(count.max())
    weight = 1 - np.abs((place + first[:, None] - centre[:, None] + 0.5) / support)
    weight = np.where(place < count[:, None], weight.clip(0), 0)
    weight /= weight.sum(1, keepdims=True)
    # As many bits as keep the largest weight within 16, and no more than Pillow's 22.
    precision = next(bits for bits in range(23) if bits == 22 or int(0.5 + weight.max() * 2 ** (bits + 1)) >= 1 << 15)
    index = np.minimum(first[:, None] + place, pixels - 1)
    integers = (weight * 2**precision + 0.5).astype(np.int32)
    return torch.from_numpy(index).to(device), torch.from_numpy(integers).to(device), precision
