"""Applying dynamic motion filters: each frame with a filter of its own (Diba et al., ICCV 2019, section 3).

Three registered operators, `dynamonet::filter_frames` and its two gradients, so that torch.compile and the counters
of operations see each as a whole; only frames and filters are kept for the backward pass. On CUDA they are the fused
kernels of `filter_kernels.py` where Triton is installed, everywhere else the convolutions of `filter_convolutions.py`.
"""

import functools
import importlib.util
from types import ModuleType

import torch
from torch import Tensor

from dynamonet.models import filter_convolutions


def apply_dynamic_filters(frames: Tensor, filters: Tensor) -> Tensor:
    """Correlate every frame with its own filter; borders are replicated.

    frames: (N, C, T, H, W). filters: (N, T, k, k), shared by the colours, or (N, T, C, k, k), one for each; k odd.
    Returns contiguous (N, C, T, H, W): out[y, x] = Σ filter[i, j] · frame[y + i - k//2, x + j - k//2].

    The result has the wider type of the two. bf16 and fp16 are widened to fp32 before the first product, inside
    torch.autocast too; only a result of two half-precision inputs is rounded back.
    Raises ValueError for shapes and types that do not fit.
    """
    dtype = _check(frames, filters)
    computed = torch.promote_types(dtype, torch.float32)
    if filters.dim() == 4:
        filters = filters.unsqueeze(2)
    return _filter_frames(frames.to(computed), filters.to(computed)).to(dtype)


def reference_dynamic_filters(frames: Tensor, filters: Tensor) -> Tensor:
    """What `apply_dynamic_filters` computes, tap by tap in the inputs' own type: slow, to be read and tested against.

    Shapes and errors as there.
    """
    _check(frames, filters)
    if filters.dim() == 4:
        filters = filters.unsqueeze(2)
    filters = filters.transpose(1, 2)  # (N, C or 1, T, k, k), as the frames' dimensions
    height, width = frames.shape[-2:]
    k = filters.shape[-1]
    filtered = 0
    for i in range(k):
        rows = (torch.arange(height, device=frames.device) + i - k // 2).clamp(0, height - 1)
        for j in range(k):
            columns = (torch.arange(width, device=frames.device) + j - k // 2).clamp(0, width - 1)
            filtered = filtered + filters[..., i : i + 1, j : j + 1] * frames[..., rows[:, None], columns]
    return filtered


def multiply_accumulates(frames: tuple[int, ...], size: int) -> int:
    """N·T·C·k²·H·W for frames of shape (N, C, T, H, W): of one application, and of each of its two gradients."""
    n, c, t, h, w = frames
    return n * t * c * size**2 * h * w


def _check(frames: Tensor, filters: Tensor) -> torch.dtype:
    """The wider type of the two. Raises ValueError."""
    if frames.dim() != 5:
        raise ValueError(f"frames must be (N, C, T, H, W), not of shape {tuple(frames.shape)}")
    n, c, t = frames.shape[:3]
    if filters.dim() not in (4, 5) or filters.shape[:2] != (n, t) or filters.shape[2:-2] not in ((), (c,)):
        raise ValueError(
            f"filters for frames of shape {tuple(frames.shape)} must be ({n}, {t}, k, k) or ({n}, {t}, {c}, k, k), "
            f"not of shape {tuple(filters.shape)}"
        )
    if filters.shape[-1] != filters.shape[-2] or filters.shape[-1] % 2 == 0:
        raise ValueError(f"filters must be square and of odd size, not {filters.shape[-2]} × {filters.shape[-1]}")
    dtype = torch.promote_types(frames.dtype, filters.dtype)
    if not dtype.is_floating_point:
        raise ValueError(f"frames or filters must be of a floating-point type, not {frames.dtype} and {filters.dtype}")
    return dtype


@functools.cache
def _fused_kernels() -> ModuleType | None:
    if importlib.util.find_spec("triton") is None:  # it exists for Linux only
        return None
    from dynamonet.models import filter_kernels

    return filter_kernels


def _implementation(frames: Tensor) -> ModuleType:
    return (_fused_kernels() if frames.is_cuda else None) or filter_convolutions


@torch.library.custom_op("dynamonet::filter_frames", mutates_args=())
def _filter_frames(frames: Tensor, filters: Tensor) -> Tensor:
    """frames (N, C, T, H, W), filters (N, T, C or 1, k, k), both fp32 or both fp64. Returns (N, C, T, H, W)."""
    return _implementation(frames).filter_frames(frames, filters)


@torch.library.custom_op("dynamonet::gradient_of_frames", mutates_args=())
def _gradient_of_frames(grad: Tensor, filters: Tensor) -> Tensor:
    """grad: gradient of the filtered frames, (N, C, T, H, W). Returns that of the frames."""
    return _implementation(grad).gradient_of_frames(grad, filters)


@torch.library.custom_op("dynamonet::gradient_of_filters", mutates_args=())
def _gradient_of_filters(grad: Tensor, frames: Tensor, size: int, colours: int) -> Tensor:
    """Returns the gradient of the filters, (N, T, `colours`, size, size); `colours` is C, or 1 for shared filters."""
    return _implementation(grad).gradient_of_filters(grad, frames, size, colours)


@_filter_frames.register_fake
def _(frames, filters):
    return frames.new_empty(frames.shape)


@_gradient_of_frames.register_fake
def _(grad, filters):
    return grad.new_empty(grad.shape)


@_gradient_of_filters.register_fake
def _(grad, frames, size, colours):
    return grad.new_empty(frames.shape[0], frames.shape[2], colours, size, size)


def _save(ctx, inputs, output) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
    frames, filters = ctx.saved_tensors
    of_frames, of_filters = ctx.needs_input_grad
    return (
        _gradient_of_frames(grad, filters) if of_frames else None,
        _gradient_of_filters(grad, frames, filters.shape[-1], filters.shape[2]) if of_filters else None,
    )


_filter_frames.register_autograd(_backward, setup_context=_save)
