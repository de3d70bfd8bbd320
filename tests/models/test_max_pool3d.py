import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dynamonet.errors import UserError
from dynamonet.models.card import Clip
from dynamonet.models.classifier import build_classifier
from dynamonet.models.max_pool3d import DeterministicMaxPool3d, deterministic_max_pool3d, deterministic_pooling

GEOMETRIES = [
    ((3, 3, 3), (2, 2, 2), (1, 1, 1)),
    ((1, 3, 3), (1, 2, 2), (0, 1, 1)),
    ((3, 3, 3), (1, 1, 1), (1, 1, 1)),
    ((2, 3, 1), (3, 1, 2), (1, 0, 0)),
]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("kernel_size", "stride", "padding"), GEOMETRIES)
def test_values_and_gradients_are_those_of_torch(kernel_size, stride, padding, ties):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 5, 8, 9, dtype=torch.double)
    if ties:
        x = x.clamp(-0.5, 0.5).round()  # as after a ReLU, many are equal
    pooled, gradients = [], []
    for pool in (F.max_pool3d, deterministic_max_pool3d):
        leaf = x.clone().requires_grad_()
        pooled.append(pool(leaf, kernel_size, stride, padding))
        torch.manual_seed(1)
        pooled[-1].backward(torch.randn(pooled[-1].shape, dtype=torch.double))
        gradients.append(leaf.grad)
    assert torch.equal(*pooled)
    torch.testing.assert_close(*gradients, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(("kernel_size", "stride", "padding"), GEOMETRIES)
def test_gradients_are_those_of_differences(kernel_size, stride, padding):
    torch.manual_seed(0)
    x = torch.randperm(3 * 5 * 4).double().view(1, 1, 3, 5, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: deterministic_max_pool3d(x, kernel_size, stride, padding), (x,))


def test_an_infinite_gradient_stays_where_it_belongs():
    x = torch.arange(2 * 4 * 4.0).view(1, 1, 2, 4, 4).requires_grad_()
    pooled = deterministic_max_pool3d(x, (2, 2, 2), (2, 2, 2), (0, 0, 0))
    pooled.backward(torch.full_like(pooled, float("inf")))
    assert set(x.grad.unique().tolist()) == {0.0, float("inf")}


def test_every_pool_of_a_network_is_swapped_and_nothing_else():
    torch.manual_seed(0)
    model = build_classifier("dynamonet", 3, {"depth": 10, "width": 4}, Clip(frames=8, crop=32)).eval()
    video = torch.rand(1, 3, 8, 32, 32)
    before, state = model(video).logits, {key: value.clone() for key, value in model.state_dict().items()}
    deterministic_pooling(model)
    pools = [module for module in model.modules() if isinstance(module, nn.MaxPool3d)]
    assert pools
    assert all(type(pool) is DeterministicMaxPool3d for pool in pools)
    assert model.state_dict().keys() == state.keys()
    assert torch.equal(model(video).logits, before)


def test_geometry_survives_the_swap():
    network = nn.Sequential(nn.ReLU(), nn.Sequential(nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)), nn.MaxPool3d(2)))
    x = torch.randn(1, 2, 4, 12, 12)
    before = network(x)
    deterministic_pooling(network)
    assert torch.equal(network(x), before)


@pytest.mark.parametrize("option", [{"dilation": 2}, {"ceil_mode": True}, {"return_indices": True}])
def test_a_pool_without_a_deterministic_gradient_is_named(option):
    network = nn.Sequential(nn.Identity(), nn.MaxPool3d(3, **option))
    with pytest.raises(UserError, match=r"Sequential\.1 pools with dilation, ceil_mode or return_indices"):
        deterministic_pooling(network)
