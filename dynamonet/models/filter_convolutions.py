"""Dynamic filters as convolutions with one group per picture: on a CPU, and on CUDA without Triton.

The gradient of the filters is a convolution too, of each padded picture with the gradient of its output as kernel;
autograd of the grouped form takes 6 (k = 5) to 14 times (k = 11) as long for it. Going through the clips part by part
costs up to 40 % of the forward pass alone and saves two to four copies of the frames: all as measured in
`benchmarks/results/dynamic_filters-cpu.md`.

frames and grad: (N, C, T, H, W), any strides. filters: (N, T, C or 1, k, k). Results are contiguous.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

# Values filtered at a time. It bounds the padded copies, 4 MB each in fp32, which then mostly stay in the cache.
VALUES_AT_A_TIME = 2**20


def filter_frames(frames: Tensor, filters: Tensor) -> Tensor:
    filtered = frames.new_empty(frames.shape)
    with torch.autocast(frames.device.type, enabled=False):
        for clips, steps in _parts(frames):
            part = filtered[clips, :, steps]
            pictures = _pad(frames[clips, :, steps], filters.shape[-1])
            kernels = _kernels(filters[clips, steps], frames.shape[1])
            part.copy_(F.conv2d(pictures, kernels, groups=len(kernels)).view(part.shape))
    return filtered


def gradient_of_frames(grad: Tensor, filters: Tensor) -> Tensor:
    gradient = grad.new_empty(grad.shape)
    border = filters.shape[-1] // 2
    with torch.autocast(grad.device.type, enabled=False):
        for clips, steps in _parts(grad):
            part = gradient[clips, :, steps]
            kernels = _kernels(filters[clips, steps], grad.shape[1])
            pictures = grad[clips, :, steps].reshape(1, len(kernels), *grad.shape[-2:])
            padded = F.conv_transpose2d(pictures, kernels, groups=len(kernels))
            part.copy_(_fold(_fold(padded, -2, border), -1, border).view(part.shape))
    return gradient


def gradient_of_filters(grad: Tensor, frames: Tensor, size: int, colours: int) -> Tensor:
    n, c, t, h, w = frames.shape
    gradient = grad.new_empty(n, t, colours, size, size)
    with torch.autocast(grad.device.type, enabled=False):
        for clips, steps in _parts(frames):
            part = gradient[clips, steps]
            pictures = _pad(frames[clips, :, steps], size)
            kernels = grad[clips, :, steps].reshape(-1, 1, h, w)
            by_picture = F.conv2d(pictures, kernels, groups=len(kernels))
            by_colour = by_picture.view(part.shape[0], c, part.shape[1], size, size).transpose(1, 2)
            part.copy_(by_colour if colours == c else by_colour.sum(2, keepdim=True))
    return gradient


def _parts(frames: Tensor) -> Iterator[tuple[slice, slice]]:
    """Slices of the clips and of their steps that hold at most VALUES_AT_A_TIME values, or one frame."""
    n, c, t, h, w = frames.shape
    steps = min(t, max(1, VALUES_AT_A_TIME // (c * h * w)))
    clips = max(1, VALUES_AT_A_TIME // (c * steps * h * w))
    for clip in range(0, n, clips):
        for step in range(0, t, steps):
            yield slice(clip, clip + clips), slice(step, step + steps)


def _pad(frames: Tensor, size: int) -> Tensor:
    """(N, C, T, H, W) as channels of one picture with replicated borders, (1, N·C·T, H + size - 1, W + size - 1)."""
    return F.pad(frames.reshape(1, -1, *frames.shape[-2:]), (size // 2,) * 4, mode="replicate")


def _kernels(filters: Tensor, colours: int) -> Tensor:
    """(N, T, C or 1, k, k) as kernels of the channels of one picture, (N·C·T, 1, k, k)."""
    size = filters.shape[-1]
    return filters.transpose(1, 2).expand(-1, colours, -1, -1, -1).reshape(-1, 1, size, size)


def _fold(padded: Tensor, dim: int, border: int) -> Tensor:
    """Add what lies on a replicated border to the row (or column) it was copied from, in place, and cut it off.

    The backward pass of padding, without the atomic additions of torch's own on CUDA.
    """
    end = padded.shape[dim] - border
    inner = padded.narrow(dim, border, end - border)
    inner.select(dim, 0).add_(padded.narrow(dim, 0, border).sum(dim))
    inner.select(dim, -1).add_(padded.narrow(dim, end, border).sum(dim))
    return inner
