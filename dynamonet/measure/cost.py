"""Multiply-accumulates and parameters, from two counters that must agree.

Importing this module teaches both counters the project's own operator, torch's for the backward pass too.
"""

import copy
import math
import warnings
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from fvcore.nn import FlopCountAnalysis
from fvcore.nn.jit_handles import batchnorm_flop_jit, get_shape, norm_flop_counter
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, register_flop_formula

from dynamonet.errors import UserError
from dynamonet.models.filter_operator import multiply_accumulates

# Operators that both counters count: products of weights or filters with activations, or of two activations.
PRODUCTS = {
    "conv", "linear", "addmm", "matmul", "bmm", "baddbmm", "mm", "einsum", "scaled_dot_product_attention",
    "filter_frames",
}  # fmt: skip
# Operators without products of two activations or with weights, which the field's convention counts as nothing:
# element-wise arithmetic, reductions, pooling, activations, data movement.
FREE = {
    *("aten::" + name for name in (
        # arithmetic of elements
        "abs", "add", "add_", "clamp", "clamp_min", "cos", "div", "div_", "eq", "exp", "lerp", "log", "masked_fill",
        "mul", "mul_", "ne", "neg", "pow", "reciprocal", "rsqrt", "rsub", "sin", "sqrt", "square", "sub", "where",
        # activations
        "dropout", "dropout_", "elu", "feature_dropout", "gelu", "hardsigmoid", "hardswish", "hardswish_", "hardtanh",
        "hardtanh_", "leaky_relu", "leaky_relu_", "log_softmax", "prelu", "relu6", "sigmoid", "sigmoid_", "silu",
        "silu_", "softmax", "softplus", "tanh",
        # reductions and pooling
        "adaptive_avg_pool3d", "adaptive_max_pool3d", "amax", "amin", "avg_pool2d", "avg_pool3d", "cumsum",
        "linalg_vector_norm", "max", "max_pool2d", "max_pool3d", "mean", "min", "norm", "std", "sum", "var",
        # movement and making of data
        "copy_", "expand_as", "eye", "fill_", "flip", "gather", "index", "index_select", "linspace", "meshgrid",
        "movedim", "numel", "ones_like", "pad", "pixel_shuffle", "repeat", "repeat_interleave", "replication_pad2d",
        "roll", "tensor_split", "tile", "tril", "triu", "unflatten", "unfold", "view_as", "zeros_like",
    )),
    # pytorchvideo's own activation
    "prim::PythonOp.SwishFunction",
}  # fmt: skip
TOLERANCE = 1e-3
_EXTRA = "batch_norm in training"


@dataclass(frozen=True)
class Cost:
    """Parameters, and the 10⁹ multiply-accumulates of one clip by the three counts that published figures are of."""

    parameters_m: float
    gmacs_per_clip: float
    """fvcore: products, two per element of a batch norm at inference, five of a layer norm. The count of our tables."""
    gmacs_products: float
    """Convolutions and matrix products alone, as torch's counter and torchvision's figures."""
    gmacs_training_norms: float
    """fvcore's with the network in training mode, where it counts five per element of a batch norm too.

    The figures of pytorchvideo's model zoo are this count, which is more by 1 % for ResNets and 5 % for X3D.
    """

    def counted(self, counting: str) -> float:
        """GMACs per clip by the count that a `PublishedValue.counting` names."""
        return {
            "fvcore": self.gmacs_per_clip,
            "products": self.gmacs_products,
            "training_norms": self.gmacs_training_norms,
        }[counting]


def count_cost(model: nn.Module, video: Tensor) -> Cost:
    """Parameters and multiply-accumulates of one forward pass of `video` (1, C, T, H, W) at inference.

    fvcore's count is the one reported, as in the papers compared with; torch's own counter must agree on
    everything that both count. Nothing is computed: both run on torch's meta device, unless the model looks at values
    there. Raises UserError naming an operator that nobody counts, and if they disagree.
    """
    model.eval()
    try:
        return _count(copy.deepcopy(model).to("meta"), torch.empty_like(video, device="meta"))
    except RuntimeError:  # it asks for a value, or keeps a tensor of its own elsewhere
        return _count(model, video)


def _count(model: nn.Module, video: Tensor) -> Cost:
    # Of attention's kernels torch does not count the one for CPUs.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of every Python branch on a shape
        analysis = (
            FlopCountAnalysis(_Logits(model), video)
            .set_op_handle("dynamonet::filter_frames", _filter_frames_macs)
            .set_op_handle("aten::baddbmm", _baddbmm_macs)
            .set_op_handle("aten::scaled_dot_product_attention", _attention_macs)
            .set_op_handle("aten::batch_norm", _batch_norm_macs)
            .unsupported_ops_warnings(False)
            .uncalled_modules_warnings(False)
        )
        with _TracedConvolutions() if video.is_meta else nullcontext():
            by_operator = analysis.by_operator()
        with FlopCounterMode(display=False) as counter:
            model(video)
    uncounted = sorted(set(analysis.unsupported_ops()) - FREE)
    if uncounted:
        raise UserError(f"no counter knows the operator {uncounted[0]}: add a handle or name it as free in {__file__}")
    products = sum(count for name, count in by_operator.items() if name in PRODUCTS)
    torch_macs = counter.get_total_flops() / 2
    if abs(products - torch_macs) > TOLERANCE * torch_macs:
        raise UserError(f"two counters disagree: fvcore finds {products / 1e9:.6g} GMACs, torch {torch_macs / 1e9:.6g}")
    total = sum(by_operator.values())
    return Cost(
        parameters_m=sum(p.numel() for p in model.parameters()) / 1e6,
        gmacs_per_clip=(total - by_operator[_EXTRA]) / 1e9,
        gmacs_products=torch_macs / 1e9,
        gmacs_training_norms=total / 1e9,
    )


class _Logits(nn.Module):
    """fvcore traces a model, and a trace returns tensors only."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, video: Tensor) -> tuple[Tensor, ...]:
        output = self.model(video)
        return tuple(tensor for tensor in (output.logits, output.predicted_frames) if tensor is not None)


class _TracedConvolutions(TorchDispatchMode):
    """Lets a trace on the meta device see convolutions.

    The tracer does not record `convolution`, but the `_convolution` that every device's implementation calls, except
    that of the meta device.
    """

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        aten = torch.ops.aten
        if func is aten.convolution.default and torch._C._get_tracing_state() is not None:
            torch._C._dispatch_tls_set_dispatch_key_excluded("Tracer", False)
            try:
                with self:
                    return aten._convolution.default(*args, False, False, False, False)
            finally:
                torch._C._dispatch_tls_set_dispatch_key_excluded("Tracer", True)
        if func is aten._convolution.default:
            func, args = aten.convolution.default, args[:9]
        return func(*args, **(kwargs or {}))


def _filter_frames_macs(inputs: list, outputs: list) -> int:
    """fvcore's handle: multiply-accumulates, from the values of a trace."""
    frames, filters = map(get_shape, inputs)
    return multiply_accumulates(frames, filters[-1])


def _baddbmm_macs(inputs: list, outputs: list) -> int:
    return math.prod(get_shape(inputs[1])) * get_shape(inputs[2])[-1]


def _attention_macs(inputs: list, outputs: list) -> int:
    """Both products: of queries with keys, and of what softmax makes of them with values."""
    query, key, value = map(get_shape, inputs[:3])
    return math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _batch_norm_macs(inputs: list, outputs: list) -> Counter:
    """As at inference, and beside it what training would add."""
    macs = batchnorm_flop_jit(inputs, outputs)
    return Counter({"batch_norm": macs, _EXTRA: norm_flop_counter(1)(inputs, outputs) - macs})


@register_flop_formula([torch.ops.dynamonet.filter_frames, torch.ops.dynamonet.gradient_of_frames])
def _filter_frames_flops(frames, filters, *, out_shape=None, **_) -> int:
    """torch's counter, which counts a multiply-accumulate as two; `frames` and `filters` are shapes."""
    return 2 * multiply_accumulates(frames, filters[-1])


@register_flop_formula(torch.ops.dynamonet.gradient_of_filters)
def _gradient_of_filters_flops(grad, frames, size, colours, *, out_shape=None, **_) -> int:
    return 2 * multiply_accumulates(frames, size)
