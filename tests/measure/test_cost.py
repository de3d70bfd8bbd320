import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from dynamonet.errors import UserError
from dynamonet.measure.cost import count_cost
from dynamonet.models.card import Clip
from dynamonet.models.classifier import Classifier, build_classifier
from dynamonet.models.filter_operator import apply_dynamic_filters
from dynamonet.models.output import ModelOutput

NOT_NORMALISED = (None, (1, 1, 1))


class LooksAtValues(nn.Module):
    """The network, with a decision that depends on a value of the clip, which the meta device does not have."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, video):
        assert video.max().item() > 0
        return self.net(video)


def test_a_convolution_costs_its_closed_form():
    net = nn.Sequential(nn.Conv3d(3, 8, (3, 5, 5), stride=(1, 2, 2), padding=(1, 2, 2), bias=False), nn.Flatten())
    cost = count_cost(Classifier(net, *NOT_NORMALISED), torch.rand(1, 3, 4, 16, 16))
    assert cost.gmacs_per_clip * 1e9 == 3 * 8 * 75 * 4 * 8 * 8
    assert cost.parameters_m * 1e6 == 3 * 8 * 75


def test_published_figures_are_of_one_of_three_counts():
    net = nn.Sequential(nn.Conv3d(3, 2, 1, bias=False), nn.BatchNorm3d(2), nn.Flatten())
    cost = count_cost(Classifier(net, *NOT_NORMALISED), torch.rand(1, 3, 4, 5, 5))
    products, elements = 3 * 2 * 4 * 5 * 5, 2 * 4 * 5 * 5
    assert round(cost.counted("products") * 1e9) == products
    assert round(cost.counted("fvcore") * 1e9) == products + 2 * elements
    assert round(cost.counted("training_norms") * 1e9) == products + 5 * elements


@pytest.mark.parametrize(
    ("name", "clip", "options"),
    [
        ("c2d_r50", Clip(frames=4, crop=32), {"width": 4}),
        ("x3d_xs", Clip(frames=4, crop=32), {}),  # swish is a function of its own
        ("mvit_b_16x4", Clip(frames=4, crop=32), {"depth": 4, "width": 8}),
        ("swin3d_t", Clip(frames=4, crop=32), {"width": 32, "depths": [1, 1, 1, 1]}),
    ],
)
def test_a_cost_is_counted_without_computing_and_is_the_same(name, clip, options):
    model = build_classifier(name, 5, options, clip)
    devices = set()
    handle = model.net.register_forward_hook(lambda module, inputs, output: devices.add(output.device.type))
    video = torch.rand(1, 3, clip.frames, clip.crop, clip.crop)
    uncomputed = count_cost(model, video)
    assert devices == {"meta"}
    handle.remove()
    model.net = LooksAtValues(model.net)
    assert count_cost(model, video) == uncomputed
    assert next(model.parameters()).device.type == "cpu"


class Attention(nn.Module):
    def __init__(self, attend):
        super().__init__()
        self.attend = attend
        self.project = nn.Linear(3, 3 * 8, bias=False)

    def forward(self, video):
        tokens = self.project(video.flatten(2).transpose(1, 2))  # (1, tokens, 24)
        query, key, value = tokens.unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)  # each (1, heads, tokens, 4)
        return self.attend(query, key[..., :5, :], value[..., :5, :]).sum((1, 2))


@pytest.mark.parametrize(
    "attend",
    [
        F.scaled_dot_product_attention,
        lambda query, key, value: (query @ key.transpose(-1, -2)).softmax(-1) @ value,
        lambda query, key, value: torch.einsum("nhqk,nhkd->nhqd", torch.einsum("nhqd,nhkd->nhqk", query, key), value),
        lambda query, key, value: torch.baddbmm(
            query[0], torch.baddbmm(query[0, ..., :1], query[0], key[0].transpose(1, 2)), value[0]
        )[None],
    ],
    ids=["scaled_dot_product_attention", "matmul", "einsum", "baddbmm"],
)
@pytest.mark.parametrize("computed", [False, True])
def test_attention_costs_its_two_products_however_it_is_written(attend, computed):
    net = Attention(attend)
    cost = count_cost(Classifier(LooksAtValues(net) if computed else net, *NOT_NORMALISED), torch.rand(1, 3, 2, 3, 3))
    tokens, keys, heads, width = 18, 5, 2, 4
    assert round(cost.gmacs_per_clip * 1e9) == tokens * 3 * 24 + 2 * heads * tokens * keys * width


@pytest.mark.parametrize(
    ("filters", "pixels"),
    [({}, 32 * 32), ({"filter_per_channel": True}, 32 * 32), ({"filter_scales": 3}, 32 * 32 + 16 * 16 + 8 * 8)],
)
def test_dynamic_filters_cost_their_closed_form(filters, pixels):
    clip = Clip(frames=8, crop=32)
    options = {"depth": 10, "width": 4, "stem_frames": 3, **filters}
    costs = [
        count_cost(
            build_classifier("dynamonet", 5, {**options, "prediction": predicts}, clip), torch.rand(1, 3, 8, 32, 32)
        )
        for predicts in (True, False)
    ]
    frames, channels, size = 8, 3, 5
    difference = (costs[0].gmacs_per_clip - costs[1].gmacs_per_clip) * 1e9
    assert difference == pytest.approx(frames * channels * size**2 * pixels)
    assert costs[0].parameters_m == costs[1].parameters_m


@pytest.mark.parametrize("size", [3, 11])
@pytest.mark.parametrize("per_colour", [False, True])
def test_the_filter_operator_alone_costs_its_closed_form(size, per_colour):
    class Filters(nn.Module):
        def __init__(self):
            super().__init__()
            self.filters = nn.Parameter(torch.rand(1, 4, *[3][:per_colour], size, size))

        def forward(self, video):
            return ModelOutput(video.mean((-3, -2, -1)), apply_dynamic_filters(video, self.filters))

    cost = count_cost(Classifier(Filters(), *NOT_NORMALISED), torch.rand(1, 3, 4, 9, 7))
    assert round(cost.gmacs_per_clip * 1e9) == 4 * 3 * size**2 * 9 * 7


def test_torch_counts_the_gradients_of_the_filter_operator():
    frames = torch.rand(2, 3, 4, 9, 7, requires_grad=True)
    filters = torch.rand(2, 4, 5, 5, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        apply_dynamic_filters(frames, filters).sum().backward()
    once = 2 * (2 * 4 * 3 * 5**2 * 9 * 7)
    assert counter.get_total_flops() == 3 * once


class Odd(nn.Module):
    def __init__(self, operator):
        super().__init__()
        self.conv, self.operator = nn.Conv3d(3, 2, 1), operator

    def forward(self, video):
        return self.operator(self.conv(video).flatten(1))


def test_an_operator_that_nobody_counts_is_named():
    with pytest.raises(UserError, match="aten::erfinv"):
        count_cost(Classifier(Odd(torch.erfinv), *NOT_NORMALISED), torch.rand(1, 3, 2, 4, 4))


def test_counters_that_disagree_are_an_error(monkeypatch):
    monkeypatch.setattr("dynamonet.measure.cost._baddbmm_macs", lambda inputs, outputs: 1)
    net = Odd(
        lambda features: torch.baddbmm(features[None], features[None], torch.eye(64)[None].to(features.device))[0]
    )
    with pytest.raises(UserError, match=r"two counters disagree: fvcore finds .* GMACs, torch 4.288e-06"):
        count_cost(Classifier(net, *NOT_NORMALISED), torch.rand(1, 3, 2, 4, 4))
