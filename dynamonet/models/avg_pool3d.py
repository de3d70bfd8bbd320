"""3D average pooling with a deterministic gradient on GPUs, where PyTorch has none (it adds with atomics)."""

import torch.nn.functional as F
from torch import Tensor, nn

from dynamonet.errors import UserError
from dynamonet.models.swapping import swap, triple


class DeterministicAvgPool3d(nn.AvgPool3d):
    """`nn.AvgPool3d` whose gradient on GPUs is the same to the last bit in every run.

    There it averages over space, then over time: in 2D, PyTorch's gradient is deterministic. On CPUs it is
    `nn.AvgPool3d` itself.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.is_cpu or not x.requires_grad:
            return super().forward(x)
        return average_in_steps(x, self)


def average_in_steps(x: Tensor, pool: nn.AvgPool3d) -> Tensor:
    """What `pool` makes of x (N, C, T, H, W), by averages in 2D: windows, borders and divisors are separable."""
    (kt, kh, kw), (st, sh, sw), (pt, ph, pw) = map(triple, (pool.kernel_size, pool.stride, pool.padding))
    how = {"ceil_mode": pool.ceil_mode, "count_include_pad": pool.count_include_pad}
    n, c, t, h, w = x.shape
    planes = F.avg_pool2d(x.reshape(n, c * t, h, w), (kh, kw), (sh, sw), (ph, pw), **how)
    h, w = planes.shape[2:]
    return F.avg_pool2d(planes.view(n, c, t, h * w), (kt, 1), (st, 1), (pt, 0), **how).view(n, c, -1, h, w)


def deterministic_averaging(module: nn.Module) -> None:
    """Put a `DeterministicAvgPool3d` in the place of every `nn.AvgPool3d` inside `module`.

    Raises UserError for one with divisor_override.
    """
    swap(module, nn.AvgPool3d, _deterministic)


def _deterministic(pool: nn.AvgPool3d, name: str) -> DeterministicAvgPool3d:
    if pool.divisor_override is not None:
        raise UserError(
            f"{name} averages with divisor_override, which has no deterministic gradient here: set deterministic to "
            "false"
        )
    return DeterministicAvgPool3d(pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode, pool.count_include_pad)
