import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dynamonet.errors import UserError
from dynamonet.measure.cost import count_cost
from dynamonet.models.card import Clip
from dynamonet.models.classifier import Classifier, build_classifier
from dynamonet.models.filter_operator import apply_dynamic_filters
from dynamonet.models.output import ModelOutput


def test_a_convolution_costs_its_closed_form():
    net = nn.Sequential(nn.Conv3d(3, 8, (3, 5, 5), stride=(1, 2, 2), padding=(1, 2, 2), bias=False), nn.Flatten())
    cost = count_cost(Classifier(net, None, (1, 1, 1)), torch.rand(1, 3, 4, 16, 16))
    assert cost.gmacs_per_clip * 1e9 == 3 * 8 * 75 * 4 * 8 * 8
    assert cost.parameters_m * 1e6 == 3 * 8 * 75


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

    cost = count_cost(Classifier(Filters(), None, (1, 1, 1)), torch.rand(1, 3, 4, 9, 7))
    assert round(cost.gmacs_per_clip * 1e9) == 4 * 3 * size**2 * 9 * 7


def test_torch_counts_the_gradients_of_the_filter_operator():
    frames = torch.rand(2, 3, 4, 9, 7, requires_grad=True)
    filters = torch.rand(2, 4, 5, 5, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        apply_dynamic_filters(frames, filters).sum().backward()
    once = 2 * (2 * 4 * 3 * 5**2 * 9 * 7)
    assert counter.get_total_flops() == 3 * once


def test_an_operator_that_nobody_counts_is_named():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv3d(3, 2, 1)

        def forward(self, video):
            return torch.erfinv(self.conv(video).flatten(1))

    with pytest.raises(UserError, match="aten::erfinv"):
        count_cost(Classifier(Odd(), None, (1, 1, 1)), torch.rand(1, 3, 2, 4, 4))
