import pytest
import torch
from torch import nn

from dynamonet.errors import UserError
from dynamonet.models.avg_pool3d import DeterministicAvgPool3d, average_in_steps, deterministic_averaging


@pytest.mark.parametrize(
    "pool",
    [
        nn.AvgPool3d((4, 3, 3), 1),
        nn.AvgPool3d(2),
        nn.AvgPool3d((3, 2, 4), (2, 1, 3), (1, 1, 2)),
        nn.AvgPool3d(3, 2, 1, count_include_pad=False),
        nn.AvgPool3d(3, 2, 1, ceil_mode=True),
        nn.AvgPool3d(3, 2, 1, ceil_mode=True, count_include_pad=False),
    ],
)
def test_values_and_gradients_are_those_of_torch(pool):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 6, 7, 8, dtype=torch.double, requires_grad=True)
    expected, averaged = pool(x), average_in_steps(x, pool)
    torch.testing.assert_close(averaged, expected)
    weights = torch.randn(expected.shape, dtype=torch.double)
    torch.testing.assert_close(torch.autograd.grad(averaged, x, weights), torch.autograd.grad(expected, x, weights))


def test_every_pool_of_a_network_is_swapped_and_nothing_else():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv3d(3, 4, 3), nn.ModuleList([nn.AvgPool3d(2, 1)])[0], nn.Sequential(nn.AvgPool3d(3)))
    x = torch.rand(1, 3, 8, 8, 8)
    before, keys = model(x), model.state_dict().keys()
    deterministic_averaging(model)
    assert [type(module) for module in model.modules() if isinstance(module, nn.AvgPool3d)] == [
        DeterministicAvgPool3d,
        DeterministicAvgPool3d,
    ]
    assert torch.equal(model(x), before)
    assert model.state_dict().keys() == keys


def test_away_from_cpus_no_3d_average_is_differentiated():
    x = torch.empty(1, 3, 4, 6, 6, device="meta", requires_grad=True)
    pooled = DeterministicAvgPool3d(2)(x)
    assert pooled.shape == (1, 3, 2, 3, 3)
    names, nodes = set(), [pooled.grad_fn]
    while nodes:
        node = nodes.pop()
        names.add(node.name())
        nodes += [before for before, _ in node.next_functions if before is not None]
    assert "AvgPool2DBackward0" in names
    assert "AvgPool3DBackward0" not in names


def test_what_cannot_be_separated_is_refused():
    with pytest.raises(UserError, match=r"Sequential\.0 averages with divisor_override.*deterministic to false"):
        deterministic_averaging(nn.Sequential(nn.AvgPool3d(2, divisor_override=3)))
