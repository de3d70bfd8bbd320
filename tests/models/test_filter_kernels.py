"""The fused kernels where there is no GPU: in Triton's interpreter, and compiled for one without being run.

The interpreter must be chosen before Triton is imported, so it has a process of its own. It takes milliseconds for
every operation, hence the small frames.
"""

import importlib.util
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest
import torch

from dynamonet.models import filter_convolutions
from dynamonet.models.filter_operator import apply_dynamic_filters, reference_dynamic_filters

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@pytest.fixture(scope="module")
def interpreter():
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TRITON_INTERPRET", "1")
            process.submit(torch.set_num_threads, 1).result()  # starts the process
        yield process


def inputs(shape, size, per_colour, dtype=torch.float64, device="cpu"):
    """Frames, filters (N, T, C or 1, k, k) and a gradient of the output."""
    random = torch.Generator().manual_seed(0)
    n, c, t = shape[:3]
    frames = torch.rand(shape, dtype=torch.float64, generator=random)
    filters = torch.randn(n, t, c if per_colour else 1, size, size, dtype=torch.float64, generator=random)
    grad = torch.randn(shape, dtype=torch.float64, generator=random)
    return [tensor.to(device, dtype) for tensor in (frames, filters, grad)]


def expected(frames, filters, grad):
    """Filtered frames and both gradients, by the reference and autograd."""
    frames, filters = frames.clone().requires_grad_(), filters.clone().requires_grad_()
    out = reference_dynamic_filters(frames, filters if filters.shape[2] == frames.shape[1] else filters[:, :, 0])
    return out.detach(), *torch.autograd.grad(out, (frames, filters), grad)


def by(implementation, frames, filters, grad):
    return (
        implementation.filter_frames(frames, filters),
        implementation.gradient_of_frames(grad, filters),
        implementation.gradient_of_filters(grad, frames, filters.shape[-1], filters.shape[2]),
    )


def check_kernels(frames, filters, grad, **tolerance):
    """Runs in the interpreter's process."""
    from dynamonet.models import filter_kernels

    results = by(filter_kernels, frames, filters, grad)
    for ours, theirs in zip(results, expected(frames, filters, grad), strict=True):
        torch.testing.assert_close(ours, theirs, **tolerance)
        assert ours.is_contiguous()


@pytest.mark.parametrize("per_colour", [False, True])
def test_every_picture_gets_its_own_filter(interpreter, per_colour):
    interpreter.submit(check_kernels, *inputs((2, 2, 2, 2, 3), 1, per_colour)).result()


@pytest.mark.parametrize("size", [3, 5, 7, 9, 11])
def test_all_sizes_equal_the_reference(interpreter, size):
    interpreter.submit(check_kernels, *inputs((1, 1, 1, 7, 9), size, False)).result()


@pytest.mark.parametrize("side", [(16, 32), (18, 31), (17, 33)])
def test_frames_need_not_be_multiples_of_the_tile(interpreter, side):
    interpreter.submit(check_kernels, *inputs((1, 1, 1, *side), 3, False)).result()


@pytest.mark.parametrize("side", [(1, 1), (1, 5), (2, 1), (3, 2)])
def test_frames_may_be_smaller_than_filters(interpreter, side):
    interpreter.submit(check_kernels, *inputs((1, 1, 1, *side), 5, False)).result()


def test_single_precision_is_exact_to_rounding(interpreter):
    small = inputs((1, 1, 1, 6, 7), 5, False, torch.float32)
    interpreter.submit(check_kernels, *small, rtol=1e-4, atol=1e-4).result()


def test_strides_change_nothing(interpreter):
    frames, filters, grad = inputs((2, 2, 2, 3, 2), 1, True)
    frames = frames.contiguous(memory_format=torch.channels_last_3d)
    grad = grad[:, :, :1, :, :1].expand(frames.shape)  # as the gradient of a mean comes
    filters = filters.transpose(1, 2).contiguous().transpose(1, 2)
    interpreter.submit(check_kernels, frames, filters, grad).result()


def test_the_other_implementation_takes_the_same_inputs():
    for per_colour in (False, True):
        given = inputs((2, 3, 4, 9, 7), 5, per_colour)
        for ours, theirs in zip(by(filter_convolutions, *given), expected(*given), strict=True):
            torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("ones", [{"stride_w": 1}, {"stride_w": 1, "channels": 1, "steps": 1, "height": 1, "width": 1}])
@pytest.mark.parametrize("name", ["_filter", "_accumulate_at_borders", "_transpose_filter", "_correlate"])
def test_the_kernels_compile_without_atomics(tmp_path, monkeypatch, name, ones):
    """`ones`: arguments that are 1 become constants of the kernel, as at a launch."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    import triton
    from triton.backends.compiler import GPUTarget

    from dynamonet.models import filter_kernels

    kernel = getattr(filter_kernels, name)
    constants = {"SHARED": False, "K": 5, "PADDED_K": 8, "ROWS": 16, "COLUMNS": 32, **ones}
    constants = {argument: value for argument, value in constants.items() if argument in kernel.arg_names}
    pointers = {"frames", "filters", "filtered", "grad", "at_borders", "gradient", "by_strip"}
    signature = {
        argument: "constexpr" if argument in constants else "*fp32" if argument in pointers else "i32"
        for argument in kernel.arg_names
    }
    source = triton.compiler.ASTSource(kernel, signature, constants)
    compiled = triton.compile(source, target=GPUTarget("cuda", 80, 32), options={"num_warps": 1})
    assert "fma.rn.f32" in compiled.asm["ptx"] or name == "_accumulate_at_borders"
    assert "atom." not in compiled.asm["ptx"] and "red." not in compiled.asm["ptx"]


@on_a_gpu
@pytest.mark.parametrize("size", [3, 5, 7, 9, 11])
@pytest.mark.parametrize("per_colour", [False, True])
def test_on_a_gpu_values_and_gradients_equal_the_reference_and_repeat_bit_by_bit(size, per_colour):
    frames, filters, grad = inputs((4, 3, 16, 112, 112), size, per_colour, torch.float32, "cuda")

    def ours():
        given = frames.clone().requires_grad_(), filters.clone().requires_grad_()
        out = apply_dynamic_filters(given[0], given[1] if per_colour else given[1][:, :, 0])
        return out.detach(), *torch.autograd.grad(out, given, grad)

    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        first, second = ours(), ours()
    finally:
        torch.use_deterministic_algorithms(before)
    exact = expected(frames.double(), filters.double(), grad.double())
    for one, another, right in zip(first, second, exact, strict=True):
        assert torch.equal(one, another)
        assert (one - right).abs().max() < 1e-5 * right.abs().max()


@on_a_gpu
def test_on_a_gpu_no_memory_is_needed_beside_inputs_and_outputs():
    frames, filters, _ = inputs((8, 3, 16, 112, 112), 11, False, torch.float32, "cuda")
    filters.requires_grad_()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    apply_dynamic_filters(frames, filters[:, :, 0]).mean().backward()
    # the filtered frames; their gradient is one number repeated; sums of strips are far smaller than frames
    assert torch.cuda.max_memory_allocated() - before < 1.5 * frames.numel() * frames.element_size()
