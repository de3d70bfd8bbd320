import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from dynamonet.models import filter_convolutions
from dynamonet.models.filter_operator import apply_dynamic_filters, reference_dynamic_filters


def filtered_one_by_one(frames, filters):
    """Independent reference: every sample, frame, colour and tap in a loop."""
    n, c, t, h, w = frames.shape
    k = filters.shape[-1]
    if filters.dim() == 4:
        filters = filters[:, :, None].expand(n, t, c, k, k)
    out = torch.zeros_like(frames)
    for sample in range(n):
        for frame in range(t):
            padded = F.pad(frames[sample, :, frame], (k // 2,) * 4, mode="replicate")
            for colour in range(c):
                for i in range(k):
                    for j in range(k):
                        tap = filters[sample, frame, colour, i, j]
                        out[sample, colour, frame] += tap * padded[colour, i : i + h, j : j + w]
    return out


def inputs(size, per_colour=False, shape=(2, 3, 4, 9, 7), dtype=torch.float64):
    torch.manual_seed(0)
    n, c, t = shape[:3]
    frames = torch.rand(shape, dtype=dtype, requires_grad=True)
    filters = torch.randn(n, t, *([c] if per_colour else []), size, size, dtype=dtype, requires_grad=True)
    return frames, filters


def value_and_gradients(function, frames, filters):
    """The filtered frames, and the gradients of a weighted sum of them."""
    out = function(frames, filters)
    weight = torch.rand(frames.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).to(out.dtype)
    return out.detach(), *torch.autograd.grad(out, (frames, filters), weight)


def assert_same(function, other, frames, filters, **tolerance):
    ours, theirs = (value_and_gradients(f, frames, filters) for f in (function, other))
    for one, another in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, another, **tolerance)


@pytest.mark.parametrize("per_colour", [False, True])
@pytest.mark.parametrize("size", [3, 5, 7, 9, 11])
def test_equals_the_reference_in_value_and_gradient(size, per_colour):
    frames, filters = inputs(size, per_colour, shape=(2, 3, 2, 9, 7))
    assert_same(apply_dynamic_filters, filtered_one_by_one, frames, filters)
    assert_same(reference_dynamic_filters, filtered_one_by_one, frames, filters)


@pytest.mark.parametrize("per_colour", [False, True])
@pytest.mark.parametrize("size", [3, 11])
def test_single_precision_is_exact_to_rounding(size, per_colour):
    frames, filters = inputs(size, per_colour, shape=(2, 3, 4, 20, 33), dtype=torch.float32)
    assert_same(apply_dynamic_filters, reference_dynamic_filters, frames, filters, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1, 1), (1, 3, 1, 1, 5), (1, 2, 1, 4, 1), (0, 3, 2, 4, 4)])
def test_frames_may_be_smaller_than_filters(shape):
    frames, filters = inputs(7, shape=shape)
    assert_same(apply_dynamic_filters, reference_dynamic_filters, frames, filters)


@pytest.mark.parametrize("at_a_time", [1, 3 * 63, 2 * 3 * 63, 4 * 3 * 63])
@pytest.mark.parametrize("per_colour", [False, True])
def test_filtering_part_by_part_changes_nothing(monkeypatch, at_a_time, per_colour):
    frames, filters = inputs(5, per_colour, shape=(3, 3, 3, 9, 7))
    whole = value_and_gradients(apply_dynamic_filters, frames, filters)
    monkeypatch.setattr(filter_convolutions, "VALUES_AT_A_TIME", at_a_time)
    for one, another in zip(value_and_gradients(apply_dynamic_filters, frames, filters), whole, strict=True):
        torch.testing.assert_close(one, another)


@pytest.mark.parametrize("per_colour", [False, True])
def test_gradients_are_exact(per_colour):
    frames, filters = inputs(3, per_colour, shape=(1, 2, 2, 3, 3))
    assert torch.autograd.gradcheck(apply_dynamic_filters, (frames, filters))


def test_only_wanted_gradients_are_computed():
    frames, filters = inputs(3)
    for wanted in (frames, filters):
        fixed = [tensor if tensor is wanted else tensor.detach() for tensor in (frames, filters)]
        (alone,) = torch.autograd.grad(apply_dynamic_filters(*fixed).square().sum(), wanted)
        (both,) = torch.autograd.grad(apply_dynamic_filters(frames, filters).square().sum(), wanted)
        torch.testing.assert_close(alone, both)


def test_a_shifted_delta_moves_the_frame():
    frames = torch.rand(1, 3, 1, 8, 8)
    filters = torch.zeros(1, 1, 3, 3)
    filters[0, 0, 1, 0] = 1  # takes each pixel from its left neighbour: the picture moves right
    moved = apply_dynamic_filters(frames, filters)
    torch.testing.assert_close(moved[..., 1:], frames[..., :-1])


@pytest.mark.parametrize(
    "rearranged",
    [
        lambda video: video.contiguous(memory_format=torch.channels_last_3d),
        lambda video: video.transpose(-1, -2).contiguous().transpose(-1, -2),
        lambda video: torch.cat([video, video], -1)[..., : video.shape[-1]],
        lambda video: video[:, :, :1].expand(video.shape),
    ],
    ids=["channels last", "transposed", "part of a larger tensor", "one frame repeated"],
)
def test_strides_change_nothing(rearranged):
    frames, filters = inputs(5)
    video = rearranged(frames.detach())
    assert_same(apply_dynamic_filters, reference_dynamic_filters, video.requires_grad_(), filters)
    assert apply_dynamic_filters(video, filters).is_contiguous()


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_filters_are_computed_in_single_precision_under_autocast(half):
    frames, filters = inputs(5, dtype=torch.float32)
    filters = filters.detach().to(half).requires_grad_()
    out = apply_dynamic_filters(frames, filters.float())
    (expected,) = torch.autograd.grad(out.square().sum(), filters)
    with torch.autocast("cpu", half):
        autocast = apply_dynamic_filters(frames, filters)
        (gradient,) = torch.autograd.grad(autocast.square().sum(), filters)
    assert autocast.dtype is torch.float32
    assert torch.equal(autocast, out)
    assert gradient.dtype is half
    assert torch.equal(gradient, expected)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_a_result_of_two_half_precision_inputs_is_rounded_once(half):
    frames, filters = (tensor.detach().to(half) for tensor in inputs(11))
    expected = apply_dynamic_filters(frames.float(), filters.float())
    assert torch.equal(apply_dynamic_filters(frames, filters), expected.to(half))


def test_double_precision_stays_double_under_autocast():
    frames, filters = inputs(3)
    with torch.autocast("cpu", torch.bfloat16):
        assert_same(apply_dynamic_filters, filtered_one_by_one, frames, filters)


@pytest.mark.parametrize("per_colour", [False, True])
def test_the_operator_is_registered_as_torch_wants_it(per_colour):
    frames, filters = inputs(3, per_colour, shape=(1, 2, 2, 3, 4), dtype=torch.float32)
    filters = filters if per_colour else filters.detach()[:, :, None].requires_grad_()
    torch.library.opcheck(torch.ops.dynamonet.filter_frames.default, (frames, filters))
    grad = torch.rand_like(frames)
    plain = frames.detach(), filters.detach()
    torch.library.opcheck(torch.ops.dynamonet.gradient_of_frames.default, (grad, plain[1]))
    torch.library.opcheck(torch.ops.dynamonet.gradient_of_filters.default, (grad, plain[0], 3, filters.shape[2]))


def test_compiles_as_one_graph():
    frames, filters = inputs(5, dtype=torch.float32)
    # The backend traces forward and backward as any does, and needs no C++ compiler.
    compiled = torch.compile(apply_dynamic_filters, backend="aot_eager", fullgraph=True)
    assert_same(compiled, apply_dynamic_filters, frames, filters)


def test_only_frames_and_filters_are_kept_for_the_backward_pass():
    frames, filters = inputs(11, dtype=torch.float32)
    kept = []

    def keep(tensor):
        kept.append(tensor.untyped_storage().data_ptr())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        apply_dynamic_filters(frames, filters)
    assert sorted(kept) == sorted(tensor.untyped_storage().data_ptr() for tensor in (frames, filters))


@pytest.mark.parametrize(
    ("frames", "filters", "named"),
    [
        ((3, 4, 8, 8), (1, 4, 3, 3), r"frames must be .* \(3, 4, 8, 8\)"),
        ((1, 3, 4, 8, 8), (1, 5, 3, 3), r"\(1, 4, k, k\) .* \(1, 5, 3, 3\)"),
        ((1, 3, 4, 8, 8), (2, 4, 3, 3), r"\(2, 4, 3, 3\)"),
        ((1, 3, 4, 8, 8), (1, 4, 2, 3, 3), r"\(1, 4, 3, k, k\), not .* \(1, 4, 2, 3, 3\)"),
        ((1, 3, 4, 8, 8), (4, 3, 3), r"\(4, 3, 3\)"),
        ((1, 3, 4, 8, 8), (1, 4, 3, 5), "3 × 5"),
        ((1, 3, 4, 8, 8), (1, 4, 4, 4), "odd"),
    ],
)
def test_shapes_that_do_not_fit_are_named(frames, filters, named):
    for function in (apply_dynamic_filters, reference_dynamic_filters):
        with pytest.raises(ValueError, match=named):
            function(torch.rand(frames), torch.rand(filters))


def test_whole_numbers_are_refused():
    with pytest.raises(ValueError, match="floating-point"):
        apply_dynamic_filters(torch.ones(1, 3, 1, 4, 4).byte(), torch.ones(1, 1, 3, 3).int())


def test_works_where_triton_is_not_installed():
    code = """
import sys
sys.modules["triton"] = None  # as if it were not installed: importing it raises
import torch
from dynamonet.models.filter_operator import _fused_kernels, apply_dynamic_filters
assert _fused_kernels() is None
assert apply_dynamic_filters(torch.ones(1, 3, 1, 4, 4), torch.ones(1, 1, 3, 3)).eq(9).all()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
