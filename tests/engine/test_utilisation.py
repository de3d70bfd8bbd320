import pytest
import torch
from torch import nn
from torch.nn import functional

from dynamonet.engine.device import device_name
from dynamonet.engine.utilisation import mfu, peak_flops_per_s, training_flops_per_clip
from dynamonet.models.card import Clip
from dynamonet.models.classifier import build_classifier
from dynamonet.models.filter_operator import apply_dynamic_filters


class Net(nn.Module):
    """A 3D convolution from 3 to 4 channels, batch normalisation, dropout, noise, and 5 classes."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv3d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm3d(4)
        self.classifier = nn.Linear(4, 5)

    def forward(self, video):
        features = self.norm(self.convolution(video)) + torch.randn(1)
        return self.classifier(functional.dropout(features.mean((2, 3, 4)), 0.5, self.training))


@pytest.mark.parametrize(
    ("device", "precision", "tflops"),
    [
        ("NVIDIA H100 80GB HBM3", "bf16", 989.5),
        ("NVIDIA H100 PCIe", "bf16", 756),
        ("NVIDIA A100-SXM4-80GB", "tf32", 156),
        ("A100-PCIE-40GB", "fp32", 19.5),
        ("Tesla V100-SXM2-32GB", "fp16", 125),
        ("Tesla V100-SXM2-32GB", "tf32", 15.7),
        ("NVIDIA A10", "bf16", 125),
        ("NVIDIA GeForce RTX 4090", "fp16", 165.2),
    ],
)
def test_peaks_are_those_of_the_datasheets(device, precision, tflops):
    assert peak_flops_per_s(device, precision) == pytest.approx(tflops * 1e12)


@pytest.mark.parametrize(
    ("device", "precision"),
    [
        (device_name(torch.device("cpu")), "fp32"),
        ("Tesla V100-SXM2-32GB", "bf16"),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "bf16"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "bf16"),
        ("NVIDIA A10G", "bf16"),
        ("", "fp32"),
    ],
)
def test_no_peak_is_guessed(device, precision):
    assert peak_flops_per_s(device, precision) is None


def test_training_costs_three_forward_passes():
    frames, side = 2, 6
    convolution = 2 * (3 * 3**3) * 4 * frames * side * side
    classifier = 2 * 4 * 5
    assert training_flops_per_clip(Net(), (3, frames, side, side)) == 3 * (convolution + classifier)


class Filtering(nn.Module):
    """Each frame with a filter of its own."""

    def __init__(self, frames: int, size: int):
        super().__init__()
        self.filters = nn.Parameter(torch.ones(1, frames, size, size))

    def forward(self, video):
        return apply_dynamic_filters(video, self.filters)


def test_dynamic_filters_are_counted():
    assert training_flops_per_clip(Filtering(frames=4, size=5), (3, 4, 8, 8)) == 3 * 2 * (5**2 * 3 * 4 * 8 * 8)


def test_counting_leaves_model_and_generator_as_they_were():
    model = Net().train()
    model.norm.eval()  # as a part that is frozen
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    before = torch.get_rng_state()
    training_flops_per_clip(model, (3, 2, 6, 6))
    assert torch.equal(torch.get_rng_state(), before)
    assert [module.training for module in model.modules()] == [True, True, False, True]
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_model_that_fails_is_left_training():
    model = Net().train()
    with pytest.raises(RuntimeError):
        training_flops_per_clip(model, (7, 2, 6, 6))
    assert all(module.training for module in model.modules())


def test_a_network_of_the_catalogue_is_counted_as_it_is_published():
    clip = Clip(frames=8, stride=8, crop=256)
    with torch.device("meta"):
        model = build_classifier("slow_r50", 400, {}, clip)
    assert training_flops_per_clip(model, (3, 8, 256, 256)) == pytest.approx(3 * 2 * 54.52e9, rel=0.01)


def test_utilisation_is_the_share_of_all_gpus_peaks():
    # 400 clips a second of 10¹² FLOPs each, on 8 GPUs of 10¹⁴ FLOP/s
    assert mfu(400.0, 1e12, 1e14, 8) == pytest.approx(0.5)
