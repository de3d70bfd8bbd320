"""3D max-pooling with a deterministic gradient on GPUs, where PyTorch has none (it adds with atomics)."""

from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from dynamonet.errors import UserError
from dynamonet.models.swapping import Triple, swap, triple


class DeterministicMaxPool3d(nn.MaxPool3d):
    """`nn.MaxPool3d` whose gradient on GPUs is the same to the last bit in every run.

    On CPUs, and where no gradient is asked for, it is `nn.MaxPool3d` itself.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.is_cuda and x.requires_grad:
            return deterministic_max_pool3d(x, *map(triple, (self.kernel_size, self.stride, self.padding)))
        return super().forward(x)


def deterministic_max_pool3d(x: Tensor, kernel_size: Triple, stride: Triple, padding: Triple) -> Tensor:
    """`F.max_pool3d` of (N, C, T, H, W), whose gradient goes to the same maximum but is added up in a fixed order."""
    return _MaxPool3d.apply(x, kernel_size, stride, padding)


def deterministic_pooling(module: nn.Module) -> None:
    """Put a `DeterministicMaxPool3d` in the place of every `nn.MaxPool3d` inside `module`.

    Raises UserError for one with dilation, ceil_mode or return_indices.
    """
    swap(module, nn.MaxPool3d, _deterministic)


def _deterministic(pool: nn.MaxPool3d, name: str) -> DeterministicMaxPool3d:
    if triple(pool.dilation) != (1, 1, 1) or pool.ceil_mode or pool.return_indices:
        raise UserError(
            f"{name} pools with dilation, ceil_mode or return_indices, which has no deterministic gradient here: set "
            "deterministic to false"
        )
    return DeterministicMaxPool3d(pool.kernel_size, pool.stride, pool.padding)


class _MaxPool3d(torch.autograd.Function):
    """Keeps, of each window, the number of its maximum (two bytes); windows give their gradient one number at a time.

    Windows overlap, but never in the same place within one number, so nothing is added to twice at once.
    """

    @staticmethod
    def forward(ctx, x: Tensor, kernel_size: Triple, stride: Triple, padding: Triple) -> Tensor:
        pooled, indices = F.max_pool3d(x, kernel_size, stride, padding, return_indices=True)
        sizes = x.shape[2:]
        # From the maximum's place in the clip to its place in the window, along each dimension.
        places = (indices // (sizes[1] * sizes[2]), indices // sizes[2] % sizes[1], indices % sizes[2])
        number = torch.zeros_like(indices)
        for axis, place in enumerate(places):
            shape = [-1 if dimension == axis + 2 else 1 for dimension in range(5)]
            first = torch.arange(pooled.shape[axis + 2], device=x.device).view(shape) * stride[axis] - padding[axis]
            number = number * kernel_size[axis] + (place - first)
        ctx.save_for_backward(number.to(torch.int16))
        ctx.geometry = sizes, kernel_size, stride, padding
        return pooled

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (number,) = ctx.saved_tensors
        sizes, kernel_size, stride, padding = ctx.geometry
        padded = gradient.new_zeros(*gradient.shape[:2], *(s + 2 * p for s, p in zip(sizes, padding, strict=True)))
        for index, offset in enumerate(product(*map(range, kernel_size))):
            place = [
                slice(first, first + step * (count - 1) + 1, step)
                for first, step, count in zip(offset, stride, gradient.shape[2:], strict=True)
            ]
            padded[:, :, *place] += gradient.masked_fill(number != index, 0)
        inside = [slice(p, p + s) for s, p in zip(sizes, padding, strict=True)]
        return padded[:, :, *inside], None, None, None
