import os

import pytest
import torch

from dynamonet.engine.device import determinism, nondeterministic_operator, prepare_device
from dynamonet.recipe import Recipe

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    """Leave torch's global flags as they were found."""
    flags = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    threads = torch.get_num_threads()
    monkeypatch.setitem(os.environ, "CUBLAS_WORKSPACE_CONFIG", "")
    yield
    torch.use_deterministic_algorithms(flags[0], warn_only=flags[1])
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = cudnn
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = False, True
    torch.set_num_threads(threads)
    torch.backends.mkldnn.set_flags(True)


def recipe(**settings):
    return Recipe(steps=1, batch_size=2, learning_rate=0.1, **settings)


def test_the_deterministic_tier_is_strict_and_lets_cudnn_choose_nothing():
    prepare_device(1)
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled()
    assert torch.backends.cudnn.deterministic and not torch.backends.cudnn.benchmark
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_the_fast_tier_lets_cudnn_choose():
    prepare_device(1, deterministic=False)
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.benchmark and not torch.backends.cudnn.deterministic


@pytest.mark.parametrize(("precision", "rounded"), [("fp32", False), ("tf32", True), ("bf16", False)])
def test_only_tf32_rounds_the_factors_of_fp32_products(precision, rounded):
    prepare_device(1, precision=precision)
    # As its two interfaces say it: torch's compiler asks both, and one of them raises where they disagree.
    assert torch.backends.cudnn.allow_tf32 == torch.backends.cuda.matmul.allow_tf32 == rounded
    assert (torch.backends.cudnn.conv.fp32_precision == "tf32") == rounded
    assert (torch.backends.cuda.matmul.fp32_precision == "tf32") == rounded


@pytest.mark.parametrize(("deterministic", "tier"), [(True, "bit-identical"), (False, "fast")])
def test_the_record_names_the_tier_that_runs_and_what_decides_the_last_bits(deterministic, tier):
    prepare_device(1, deterministic=deterministic, precision="tf32")
    asked = recipe(deterministic=deterministic, precision="tf32", compile=True)
    assert determinism(asked, CPU) == {
        "tier": tier,
        "device": "cpu",
        "precision": "tf32",
        "channels_last": False,
        "compile": True,
    }
    on_gpu = determinism(asked, GPU)
    assert (on_gpu["device"], on_gpu["tf32"], on_gpu["cudnn_benchmark"]) == ("cuda", True, not deterministic)


def test_warnings_alone_are_not_the_deterministic_tier():
    torch.use_deterministic_algorithms(True, warn_only=True)
    assert determinism(recipe(), CPU)["tier"] == "fast"


def test_a_refused_operator_is_named_with_what_to_set():
    prepare_device(1)
    with pytest.raises(RuntimeError) as refused:
        torch.zeros(3).put_(torch.tensor([0]), torch.tensor([1.0]))  # one that torch refuses on CPUs too
    said = str(nondeterministic_operator(refused.value))
    assert "operator put_ has no deterministic implementation" in said
    assert "`deterministic: false`" in said


def test_other_errors_are_not_taken_for_a_refusal():
    assert nondeterministic_operator(RuntimeError("shapes cannot be multiplied")) is None


def test_gradients_in_bf16_are_repeatable_on_a_cpu():
    prepare_device(torch.get_num_threads(), precision="bf16")
    weight, clip, grad = (
        torch.rand(shape).bfloat16() for shape in ((16, 16, 3, 3, 3), (2, 16, 2, 24, 24), (2, 16, 2, 24, 24))
    )
    weight.requires_grad_()
    (first,) = torch.autograd.grad(torch.nn.functional.conv3d(clip, weight, padding=1), weight, grad)
    assert torch.isfinite(first).all()
    for number in range(20):
        torch.full((1000 * (number + 1),), float("nan"))  # what fresh memory may hold
        (again,) = torch.autograd.grad(torch.nn.functional.conv3d(clip, weight, padding=1), weight, grad)
        assert torch.equal(first, again)
