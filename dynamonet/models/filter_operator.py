"""Applying dynamic motion filters: each frame with a filter of its own."""

import torch
import torch.nn.functional as F
from torch import Tensor


class _FilterFrames(torch.autograd.Function):
    """Grouped correlation whose backward is two grouped correlations.

    On a CPU, forward and backward take 1.5 (k = 5) to 6 times (k = 11) as long when autograd derives the backward
    of the grouped form, 0.7 times for k = 3 (`benchmarks/results/dynamic_filters-cpu.md`).
    """

    @staticmethod
    def forward(ctx, padded: Tensor, filters: Tensor) -> Tensor:
        ctx.save_for_backward(padded, filters)
        return F.conv2d(padded, filters, groups=filters.shape[0])

    @staticmethod
    def backward(ctx, grad_output: Tensor) -> tuple[Tensor | None, Tensor | None]:
        padded, filters = ctx.saved_tensors
        channels, frames, height, width = grad_output.shape
        grad_padded = grad_filters = None
        if ctx.needs_input_grad[0]:
            grad_padded = F.conv_transpose2d(grad_output, filters, groups=frames)
        if ctx.needs_input_grad[1]:
            # The gradient of a filter is its frame correlated with the gradient of the output.
            images = padded.reshape(1, channels * frames, *padded.shape[2:])
            kernels = grad_output.reshape(channels * frames, 1, height, width)
            per_channel = F.conv2d(images, kernels, groups=channels * frames)
            grad_filters = per_channel.view(channels, frames, 1, *filters.shape[2:]).sum(0)
        return grad_padded, grad_filters


def apply_dynamic_filters(frames: Tensor, filters: Tensor) -> Tensor:
    """Filter every frame with its own filter, shared by the colour channels; borders are replicated.

    frames: (N, C, T, H, W). filters: (N, T, k, k), k odd. Returns (N, C, T, H, W).
    Costs N·T·C·k²·H·W multiply-accumulates.
    """
    n, c, t, h, w = frames.shape
    k = filters.shape[-1]
    padded = frames.permute(1, 0, 2, 3, 4).reshape(c, n * t, h, w)
    padded = F.pad(padded, (k // 2,) * 4, mode="replicate")
    kernels = filters.reshape(n * t, 1, k, k)
    if torch.is_grad_enabled() and (kernels.requires_grad or padded.requires_grad):
        filtered = _FilterFrames.apply(padded, kernels)
    else:
        filtered = F.conv2d(padded, kernels, groups=n * t)
    return filtered.view(c, n, t, h, w).permute(1, 0, 2, 3, 4)
