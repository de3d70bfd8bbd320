import pytest
import three_d_resnets
import torch

from dynamonet.models.card import Clip
from dynamonet.models.classifier import build_classifier
from dynamonet.models.resnet3d import ResNet3D

CLIP = Clip(frames=16, crop=112)
PLAIN = {"prediction": False, "dmr_features": 0}
# Parameters with a classifier of 400 classes.
PARAMETERS = {
    ("resnet", 10, "B"): 14_604_624,
    ("resnet", 18, "B"): 33_409_104,
    ("resnet", 18, "A"): 33_235_280,
    ("resnet", 34, "B"): 63_718_736,
    ("resnet", 34, "A"): 63_544_912,
    ("resnet", 50, "B"): 47_018_576,
    ("resnet", 101, "B"): 86_064_720,
    ("resnext", 50, "B"): 26_685_264,
    ("resnext", 101, "B"): 48_340_816,
}
# Millions of numbers, those of batch normalisation's running statistics among them, of networks for one input channel
# without classifier, and their shortcuts: README.md of Tencent/MedicalNet, whose networks are those of
# 3D-ResNets-PyTorch.
PUBLISHED_M = {10: ("B", 14.36), 18: ("A", 32.99), 34: ("A", 63.31), 50: ("B", 46.21), 101: ("B", 85.31)}


def closed_form(kind: str, depth: int, shortcut: str) -> int:
    """Parameters of a network of width 64 with a classifier of 400 classes."""
    blocks = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 101: (3, 4, 23, 3)}.get(depth, (3, 4, 6, 3))
    total = 64 * 3 * 7**3 + 2 * 64
    before = 64
    for stage, count in enumerate(blocks):
        p = 64 * 2**stage
        after = p if depth < 50 else 4 * p
        if depth < 50:
            first, other = 27 * p * (before + p), 27 * 2 * p * p
            norms = 2 * 2 * p
        else:
            middle, group = (2 * p, 2 * p // 32) if kind == "resnext" else (p, p)
            first, other = (middle * (inputs + 27 * group + after) for inputs in (before, after))
            norms = 2 * (2 * middle + after)
        total += first + (count - 1) * other + count * norms
        if shortcut == "B" and (stage > 0 or before != after):
            total += before * after + 2 * after
        before = after
    return total + 400 * (before + 1)


@pytest.mark.parametrize(("kind", "depth", "shortcut"), PARAMETERS)
def test_parameters_are_those_of_the_closed_form(kind, depth, shortcut):
    options = {**PLAIN, "backbone": kind, "depth": depth, "shortcut": shortcut}
    with torch.device("meta"):
        model = build_classifier("dynamonet", 400, options, CLIP)
    found = sum(parameter.numel() for parameter in model.parameters())
    assert found == PARAMETERS[kind, depth, shortcut] == closed_form(kind, depth, shortcut)


@pytest.mark.parametrize(("depth", "published"), PUBLISHED_M.items())
def test_parameters_are_those_published(depth, published):
    shortcut, millions = published
    with torch.device("meta"):
        backbone = ResNet3D(depth, shortcut=shortcut)
    state = {key: value for key, value in backbone.state_dict().items() if not key.endswith("num_batches_tracked")}
    colours = state["conv1.weight"].numel() * 2 // 3
    assert round((sum(value.numel() for value in state.values()) - colours) / 1e6, 2) == millions


@pytest.mark.parametrize(("kind", "depth", "shortcut"), PARAMETERS)
def test_names_and_shapes_are_those_of_the_repository(kind, depth, shortcut):
    with torch.device("meta"):
        backbone = ResNet3D(depth, kind=kind, shortcut=shortcut)
    own = {k: tuple(v.shape) for k, v in backbone.state_dict().items() if not k.endswith("num_batches_tracked")}
    theirs = three_d_resnets.shapes(kind, depth, 400, shortcut=shortcut)
    assert own == {key: shape for key, shape in theirs.items() if not key.startswith("fc.")}


@pytest.mark.parametrize(
    ("kind", "depth", "shortcut", "width"),
    [("resnet", 10, "B", 4), ("resnet", 18, "A", 4), ("resnet", 50, "A", 4), ("resnext", 50, "B", 16)],
)
def test_features_lead_to_the_scores_of_the_repository(kind, depth, shortcut, width):
    torch.manual_seed(0)
    network = {"width": width, "cardinality": 4, "shortcut": shortcut}
    state = three_d_resnets.random_state(kind, depth, 3, **network)
    backbone = ResNet3D(depth, kind=kind, **network).eval()
    missing, _ = backbone.load_state_dict(state, strict=False)
    assert all(key.endswith("num_batches_tracked") for key in missing)
    video = torch.randn(1, 3, 9, 36, 36)
    with torch.no_grad():
        pooled = backbone(video)[-1].mean((-3, -2, -1))
    expected = three_d_resnets.logits(state, video, kind, depth, **network)
    torch.testing.assert_close(pooled @ state["fc.weight"].T + state["fc.bias"], expected, rtol=1e-4, atol=1e-4)


def test_the_gradient_flows_through_shortcuts_without_parameters():
    backbone = ResNet3D(10, width=4, shortcut="A")
    for stage in (backbone.layer2, backbone.layer3, backbone.layer4):
        torch.nn.init.zeros_(stage[0].bn2.weight)  # leaves only the shortcut
    backbone(torch.randn(2, 3, 4, 32, 32))[-1].sum().backward()
    assert backbone.conv1.weight.grad.abs().sum() > 0


def test_maps_have_the_channels_and_steps_that_the_backbone_says():
    backbone = ResNet3D(50, width=16, kind="resnext", cardinality=2)
    features = backbone(torch.randn(2, 3, 7, 32, 32))
    assert tuple(feature.shape[1] for feature in features) == backbone.channels == (16, 64, 128, 256, 512)
    assert [feature.shape[2] for feature in features] == [7, 4, 2, 1, 1]
