import pytest
import torch

from dynamonet.models.card import Clip
from dynamonet.models.classifier import build_classifier
from dynamonet.models.stc import STCBlock

PLAIN = {"prediction": False, "dmr_features": 0}
# Parameters with a classifier of 400 classes and clips of 16 frames: spatial branch as a bottleneck, and full-rank.
PARAMETERS = {
    ("resnet", 18): (33_605_184, 34_483_144),
    ("resnet", 34): (64_083_368, 65_817_020),
    ("resnet", 50): (52_756_400, 80_497_664),
    ("resnet", 101): (97_410_096, 157_459_520),
    ("resnext", 50): (32_423_088, 60_164_352),
    ("resnext", 101): (59_686_192, 119_735_616),
}


def parameters(kind: str, depth: int, frames: int = 16, classes: int = 400, **options) -> int:
    with torch.device("meta"):
        options = {**PLAIN, "backbone": kind, "depth": depth, **options}
        model = build_classifier("dynamonet", classes, options, Clip(frames=frames, crop=112))
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("kind", "depth"), PARAMETERS)
@pytest.mark.parametrize("full_rank", [False, True])
def test_the_blocks_add_the_parameters_of_the_closed_form(kind, depth, full_rank):
    blocks = {18: (2, 2, 2, 2), 101: (3, 4, 23, 3)}.get(depth, (3, 4, 6, 3))
    added = 0
    for stage, count in enumerate(blocks):
        c = 64 * 2**stage * (1 if depth < 50 else 4)
        t, r = 8 // 2**stage, c // 16
        temporal = (c * r + r) + (r * c + c)
        spatial = t * c * c + c if full_rank else (t * c * r + r) + (r * c + c)
        added += count * (temporal + spatial)
    found = parameters(kind, depth, stc=True, stc_full_rank=full_rank)
    assert found == PARAMETERS[kind, depth][full_rank] == parameters(kind, depth) + added


def test_full_rank_is_near_the_figure_quoted_for_stc_resnext_101():
    # 184.0 million, in third parties' comparisons of parameters and accuracy on UCF101, of the network for 32 frames.
    assert parameters("resnext", 101, frames=32, classes=101, stc=True, stc_full_rank=True) == pytest.approx(
        184.0e6, rel=0.01
    )


def test_gates_are_those_of_the_two_branches():
    torch.manual_seed(0)
    block = STCBlock(8, 3, reduction=2).double()
    x = torch.randn(2, 8, 3, 4, 5, dtype=torch.double)
    squeezed = x.mean((2, 3, 4))
    by_time = x.mean((3, 4)).reshape(2, 24)  # channel by channel, each with its time steps
    first, _, second = block.temporal
    temporal = torch.sigmoid((squeezed @ first.weight.T + first.bias).relu() @ second.weight.T + second.bias)
    first, _, second = block.spatial
    spatial = torch.sigmoid((by_time @ first.weight.T + first.bias).relu() @ second.weight.T + second.bias)
    gated = [x * gate[:, :, None, None, None] for gate in (temporal, spatial)]
    torch.testing.assert_close(block(x), (gated[0] + gated[1]) / 2)
    block.combine = "sum"
    torch.testing.assert_close(block(x), gated[0] + gated[1])


@pytest.mark.parametrize("full_rank", [False, True])
def test_only_the_spatial_branch_sees_when(full_rank):
    torch.manual_seed(0)
    block = STCBlock(16, 4, reduction=2, full_rank=full_rank).double()
    x = torch.randn(1, 16, 4, 3, 3, dtype=torch.double)
    torch.testing.assert_close(block.temporal(x.mean((2, 3, 4))), block.temporal(x.flip(2).mean((2, 3, 4))))
    assert not torch.allclose(block(x), block(x.flip(2)).flip(2))


@pytest.mark.parametrize(("kind", "depth", "width"), [("resnet", 10, 16), ("resnext", 50, 16)])
def test_a_network_with_stc_blocks_trains_every_parameter(kind, depth, width):
    torch.manual_seed(0)
    options = {"backbone": kind, "depth": depth, "width": width, "cardinality": 2, "stc": True, "stc_reduction": 4}
    model = build_classifier("dynamonet", 3, {**PLAIN, **options}, Clip(frames=4, crop=32))
    assert len([name for name, _ in model.named_modules() if name.endswith(".stc")]) == (16 if depth == 50 else 4)
    model(torch.rand(2, 3, 4, 32, 32)).logits.square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_the_gate_is_in_the_branch_and_not_in_the_shortcut():
    torch.manual_seed(0)
    options = {**PLAIN, "depth": 10, "width": 4, "stc": True, "stc_reduction": 4}
    block = build_classifier("dynamonet", 3, options, Clip(frames=8, crop=32)).net.backbone.layer1[0].eval()
    x = torch.rand(1, 4, 4, 6, 6)
    with torch.no_grad():
        branch = block.bn2(block.conv2(block.bn1(block.conv1(x)).relu()))
        torch.testing.assert_close(block(x), (block.stc(branch) + x).relu())
    assert not torch.allclose(block.stc(branch), branch)


@pytest.mark.parametrize("frames", [7, 9])  # 7 frames have as many time steps after the stem as 8
def test_a_clip_of_another_length_is_refused(frames):
    options = {**PLAIN, "depth": 10, "width": 4, "stc": True, "stc_reduction": 4}
    model = build_classifier("dynamonet", 3, options, Clip(frames=8, crop=32))
    with pytest.raises(ValueError, match=f"built for clips of 8 frames, not {frames}"):
        model(torch.rand(1, 3, frames, 32, 32))
