"""Multiply-accumulates and parameters, from two counters that must agree.

Importing this module teaches both counters the project's own operator, torch's for the backward pass too.
"""

import warnings
from dataclasses import dataclass

import torch
from fvcore.nn import FlopCountAnalysis
from fvcore.nn.jit_handles import get_shape
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, register_flop_formula

from dynamonet.errors import UserError
from dynamonet.models.filter_operator import multiply_accumulates

# Operators that both counters count: products of weights or filters with activations.
PRODUCTS = ("conv", "linear", "addmm", "matmul", "bmm", "mm", "einsum", "filter_frames")
# Operators without products of two activations or with weights, which the field's convention counts as nothing:
# element-wise arithmetic, reductions, pooling, activations, data movement.
FREE = {
    *("aten::" + name for name in (
        "add", "add_", "sub", "rsub", "mul", "mul_", "div", "div_", "neg", "pow", "sqrt", "exp", "clamp",
        "mean", "sum", "max_pool3d", "max_pool2d", "avg_pool3d", "avg_pool2d",
        "adaptive_avg_pool3d", "adaptive_max_pool3d",
        "softmax", "sigmoid", "sigmoid_", "silu", "silu_", "gelu", "hardtanh", "hardtanh_", "hardswish",
        "dropout", "dropout_", "feature_dropout", "pad", "replication_pad2d", "index", "index_select", "cumsum",
        "fill_", "copy_", "roll", "expand_as", "repeat", "abs", "zeros_like", "ones_like",
        "reciprocal", "numel", "view_as", "lerp", "tanh", "linspace", "meshgrid",
    )),
    # pytorchvideo's own activation
    "prim::PythonOp.SwishFunction",
}  # fmt: skip
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Cost:
    parameters_m: float
    gmacs_per_clip: float


def count_cost(model: nn.Module, video: Tensor) -> Cost:
    """Parameters in millions and 10⁹ multiply-accumulates of one forward pass of `video` (1, C, T, H, W).

    fvcore's count is the one reported, as in the papers compared with; torch's own counter must agree on
    everything that both count. Raises UserError naming an operator that nobody counts, and if they disagree.
    """
    model.eval()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of every Python branch on a shape
        analysis = (
            FlopCountAnalysis(_Logits(model), video)
            .set_op_handle("dynamonet::filter_frames", _filter_frames_macs)
            .unsupported_ops_warnings(False)
            .uncalled_modules_warnings(False)
        )
        total = analysis.total()
        by_operator = analysis.by_operator()
        with FlopCounterMode(display=False) as counter:
            model(video)
    uncounted = sorted(set(analysis.unsupported_ops()) - FREE)
    if uncounted:
        raise UserError(f"no counter knows the operator {uncounted[0]}: add a handle or name it as free in {__file__}")
    products = sum(count for name, count in by_operator.items() if name in PRODUCTS)
    torch_macs = counter.get_total_flops() / 2
    if abs(products - torch_macs) > TOLERANCE * torch_macs:
        raise UserError(f"two counters disagree: fvcore finds {products / 1e9:.4f} GMACs, torch {torch_macs / 1e9:.4f}")
    return Cost(sum(p.numel() for p in model.parameters()) / 1e6, total / 1e9)


class _Logits(nn.Module):
    """fvcore traces a model, and a trace returns tensors only."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, video: Tensor) -> tuple[Tensor, ...]:
        output = self.model(video)
        return tuple(tensor for tensor in (output.logits, output.predicted_frames) if tensor is not None)


def _filter_frames_macs(inputs: list, outputs: list) -> int:
    """fvcore's handle: multiply-accumulates, from the values of a trace."""
    frames, filters = map(get_shape, inputs)
    return multiply_accumulates(frames, filters[-1])


@register_flop_formula([torch.ops.dynamonet.filter_frames, torch.ops.dynamonet.gradient_of_frames])
def _filter_frames_flops(frames, filters, *, out_shape=None, **_) -> int:
    """torch's counter, which counts a multiply-accumulate as two; `frames` and `filters` are shapes."""
    return 2 * multiply_accumulates(frames, filters[-1])


@register_flop_formula(torch.ops.dynamonet.gradient_of_filters)
def _gradient_of_filters_flops(grad, frames, size, colours, *, out_shape=None, **_) -> int:
    return 2 * multiply_accumulates(frames, size)
