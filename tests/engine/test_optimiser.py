import copy

import pytest
import torch
from torch import nn

from dynamonet.engine.optimiser import build_optimiser, set_learning_rate, set_training
from dynamonet.errors import UserError
from dynamonet.recipe import Recipe

HEAD = {"fc.weight", "fc.bias"}
BACKBONE = [
    *("backbone.conv1.weight", "backbone.layer1.conv.weight", "backbone.layer1.bn.weight", "backbone.layer1.bn.bias"),
    *("backbone.layer10.weight", "backbone.layer10.bias"),
]


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.bn, self.dropout = nn.Conv1d(4, 4, 1, bias=False), nn.BatchNorm1d(4), nn.Dropout(0.5)

    def forward(self, x):
        return self.dropout(self.bn(self.conv(x)))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.conv1 = nn.Conv1d(3, 4, 1, bias=False)
        self.backbone.layer1 = Layer()
        self.backbone.layer10 = nn.Linear(4, 4)
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        features = self.backbone.layer10(self.backbone.layer1(self.backbone.conv1(x)).mean(-1))
        return self.fc(self.dropout(features))


def recipe(**settings):
    return Recipe(**{"steps": 10, "batch_size": 2, "learning_rate": 0.1, **settings})


def groups_of(net, optimiser):
    """(names, scale, weight decay) of each group."""
    names = {parameter: name for name, parameter in net.named_parameters()}
    return [([names[p] for p in g["params"]], g["scale"], g["weight_decay"]) for g in optimiser.param_groups]


def trained(net):
    return [name for name, parameter in net.named_parameters() if parameter.requires_grad]


def update(net, optimiser, seed=0):
    optimiser.zero_grad()
    net(torch.randn(3, 3, 5, generator=torch.Generator().manual_seed(seed))).square().sum().backward()
    optimiser.step()


def test_everything_is_one_group_by_default():
    net = Net()
    optimiser = build_optimiser(net, recipe(), HEAD)
    assert groups_of(net, optimiser) == [([*BACKBONE, "fc.weight", "fc.bias"], 1.0, 0.01)]
    assert isinstance(optimiser, torch.optim.AdamW)


def test_a_part_ends_at_a_dot_and_the_rest_is_frozen():
    net = Net()
    optimiser = build_optimiser(net, recipe(trainable=["backbone.layer1"]), HEAD)
    assert trained(net) == BACKBONE[1:4]
    assert groups_of(net, optimiser) == [(BACKBONE[1:4], 1.0, 0.01)]


def test_parts_add_up_in_the_order_of_the_network():
    net, other = Net(), Net()
    optimiser = build_optimiser(net, recipe(trainable=["head", "backbone.layer10.bias", "backbone.layer10"]), HEAD)
    assert groups_of(net, optimiser)[0][0] == [*BACKBONE[4:], "fc.weight", "fc.bias"]
    again = build_optimiser(other, recipe(trainable=["backbone.layer10", "head"]), HEAD)
    assert groups_of(net, optimiser) == groups_of(other, again)


@pytest.mark.parametrize("part", ["backbone.layer", "layer1", "backbone.", "", "conv1"])
def test_a_part_that_does_not_exist_is_refused(part):
    with pytest.raises(UserError, match=f"trainable: the network has no part '{part}': .* begin with backbone, fc"):
        build_optimiser(Net(), recipe(trainable=["head", part]), HEAD)


def test_a_linear_probe_changes_the_classifier_and_nothing_else():
    torch.manual_seed(0)
    net = Net()
    optimiser = build_optimiser(net, recipe(trainable=["head"], weight_decay=0.1), HEAD)
    before = copy.deepcopy(net.state_dict())
    set_training(net)
    for seed in range(3):
        update(net, optimiser, seed)
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == HEAD


def test_what_the_network_has_frozen_itself_stays_frozen():
    net = Net()
    net.backbone.conv1.weight.requires_grad_(False)
    build_optimiser(net, recipe(), HEAD)
    assert trained(net) == [*BACKBONE[1:], "fc.weight", "fc.bias"]
    with pytest.raises(UserError, match=r"no part 'backbone.conv1'"):
        build_optimiser(net, recipe(trainable=["backbone.conv1"]), HEAD)


def test_the_longest_part_gives_the_factor():
    net = Net()
    multipliers = {"backbone.layer1": 0.5, "backbone": 0.1, "head": 10}
    optimiser = build_optimiser(net, recipe(learning_rate_multipliers=multipliers), HEAD)
    assert groups_of(net, optimiser) == [
        ([BACKBONE[0], *BACKBONE[4:]], 0.1, 0.01),
        (BACKBONE[1:4], 0.5, 0.01),
        (["fc.weight", "fc.bias"], 10.0, 0.01),
    ]
    assert [group["lr"] for group in optimiser.param_groups] == pytest.approx([0.01, 0.05, 1.0])
    set_learning_rate(optimiser, 0.02)
    assert [group["lr"] for group in optimiser.param_groups] == pytest.approx([0.002, 0.01, 0.2])


def test_the_factor_of_the_head_counts_before_that_of_any_part():
    net = Net()
    head = {"backbone.layer10.weight", "backbone.layer10.bias"}
    optimiser = build_optimiser(net, recipe(learning_rate_multipliers={"head": 10, "backbone": 0.1}), head)
    scales = {name: scale for names, scale, _ in groups_of(net, optimiser) for name in names}
    assert scales == dict.fromkeys(BACKBONE[:4], 0.1) | dict.fromkeys(BACKBONE[4:], 10) | dict.fromkeys(HEAD, 1)


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"learning_rate_multipliers": {"backbone.layer": 2}}, "backbone.layer"),
        ({"learning_rate_multipliers": {"backbone": 2}, "trainable": ["head"]}, "backbone"),
        ({"learning_rate_multipliers": {"fc": 2, "head": 3}}, "fc"),
    ],
)
def test_a_factor_that_no_trained_parameter_has_is_refused(settings, part):
    with pytest.raises(UserError, match=f"learning_rate_multipliers: '{part}' sets the rate of no trained parameter"):
        build_optimiser(Net(), recipe(**settings), HEAD)


def test_weight_decay_can_spare_biases_and_normalisation():
    net = Net()
    optimiser = build_optimiser(net, recipe(decay_all=False, weight_decay=0.3), HEAD)
    assert groups_of(net, optimiser) == [
        ([BACKBONE[0], BACKBONE[1], BACKBONE[4], "fc.weight"], 1.0, 0.3),
        ([*BACKBONE[2:4], BACKBONE[5], "fc.bias"], 1.0, 0.0),
    ]


def test_sgd_is_nesterov_with_a_momentum_of_nine_tenths():
    net = nn.Linear(1, 1, bias=False)
    net.weight.data.fill_(1.0)
    optimiser = build_optimiser(net, recipe(optimiser="sgd", weight_decay=0.5), {"weight"})
    velocity, weight = 0.0, 1.0
    for _ in range(3):
        net.weight.grad = torch.full((1, 1), 2.0)
        optimiser.step()
        gradient = 2.0 + 0.5 * weight
        velocity = 0.9 * velocity + gradient
        weight -= 0.1 * (gradient + 0.9 * velocity)
    assert net.weight.item() == pytest.approx(weight)


def test_a_resumed_optimiser_goes_on_to_the_bit():
    torch.manual_seed(0)
    settings = recipe(decay_all=False, learning_rate_multipliers={"backbone": 0.1}, optimiser="sgd")
    net = Net().eval()
    optimiser = build_optimiser(net, settings, HEAD)
    update(net, optimiser)
    other = copy.deepcopy(net)
    resumed = build_optimiser(other, settings, HEAD)
    resumed.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    for one, its_optimiser in ((net, optimiser), (other, resumed)):
        set_learning_rate(its_optimiser, 0.05)
        update(one, its_optimiser, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters(), strict=True))


def test_a_frozen_part_is_as_in_evaluation():
    net = Net()
    build_optimiser(net, recipe(trainable=["head", "backbone.layer10"]), HEAD)
    set_training(net.eval())
    layer = net.backbone.layer1
    assert not any(module.training for module in (net.backbone.conv1, layer, layer.bn, layer.dropout))
    assert all(module.training for module in (net, net.backbone, net.backbone.layer10, net.dropout, net.fc))


def test_batch_norm_keeps_its_statistics_where_frozen_only():
    clips = torch.randn(8, 3, 5, generator=torch.Generator().manual_seed(0)) + 3
    for part, moves in (("head", False), ("backbone.layer1.bn.bias", True)):
        net = Net()
        build_optimiser(net, recipe(trainable=[part]), HEAD)
        set_training(net)
        net(clips)
        assert (net.backbone.layer1.bn.running_mean.abs().max().item() > 0) == moves
