import copy

import pytest
import torch
from torch import nn

from dynamonet.engine.averaging import WeightAverage
from dynamonet.models.card import Clip
from dynamonet.models.classifier import build_classifier


class Net(nn.Module):
    """A parameter, a buffer of a float and one of an integer."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))
        self.register_buffer("statistics", torch.zeros(2))
        self.register_buffer("count", torch.tensor(0))

    def become(self, value):
        with torch.no_grad():
            self.weight.fill_(value)
            self.statistics.fill_(10 * value)
            self.count.fill_(value)
        return self


def random_walk(net, average, steps, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        for value in net.state_dict().values():
            value.add_(torch.randn(value.shape, generator=generator).to(value.dtype))
        average.update(net)


def test_the_decay_rises_to_its_value():
    net = Net()
    average = WeightAverage(net, decay=0.2)
    expected = 0.0
    for value, decay in ((1, 1 / 10), (5, 2 / 11), (2, 0.2), (7, 0.2)):
        average.update(net.become(value))
        expected = decay * expected + (1 - decay) * value
        assert average.weights()["weight"].tolist() == pytest.approx([expected] * 2)


def test_float_buffers_are_averaged_and_others_copied():
    net = Net()
    average = WeightAverage(net, decay=0.9)
    average.update(net.become(1))
    average.update(net.become(4))
    weights = average.weights()
    assert weights["statistics"].tolist() == pytest.approx([10 * weights["weight"][0].item()] * 2)
    assert weights["count"].item() == 4


def test_weights_that_stand_still_are_their_own_average():
    net = Net().become(3)
    net.weight.data.copy_(torch.tensor([0.1, -1e-7]))
    average = WeightAverage(net, decay=0.999)
    for _ in range(50):
        average.update(net)
    assert torch.equal(average.weights()["weight"], net.weight)


def test_the_network_is_left_alone():
    net = Net().become(1)
    average = WeightAverage(net, decay=0.9)
    net.become(2)
    average.update(net)
    assert net.weight.tolist() == [2, 2]
    assert not average.weights()["weight"].requires_grad


def test_a_resumed_average_goes_on_to_the_bit():
    net = Net()
    average = WeightAverage(net, decay=0.5)
    random_walk(net, average, 3)
    other = copy.deepcopy(net)
    resumed = WeightAverage(Net(), decay=0.5)
    resumed.load_state_dict(copy.deepcopy(average.state_dict()))
    for one, its_average in ((net, average), (other, resumed)):
        random_walk(one, its_average, 4, seed=1)
    assert all(torch.equal(value, resumed.weights()[name]) for name, value in average.weights().items())


def test_the_average_fits_the_network_that_it_is_of():
    net = build_classifier("dynamonet", 3, {"depth": 10, "width": 4, "stem_frames": 3}, Clip(frames=4, crop=16)).net
    average = WeightAverage(net, decay=0.9)
    random_walk(net, average, 2)
    weights = {name: value.clone() for name, value in average.weights().items()}
    net.load_state_dict(weights, strict=True)
    assert list(weights) == list(net.state_dict())
    assert all(torch.equal(value, weights[name]) for name, value in net.state_dict().items())
