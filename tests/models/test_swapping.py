from torch import nn

from dynamonet.models.swapping import swap, triple


def test_modules_of_the_kind_itself_are_swapped_at_any_depth():
    class Other(nn.ReLU):
        pass

    network = nn.Sequential(nn.ReLU(), Other(), nn.Sequential(nn.Identity(), nn.ReLU()))
    names = []
    swap(network, nn.ReLU, lambda module, name: names.append(name) or nn.Tanh())
    assert [type(module) for module in network.modules() if not list(module.children())] == [
        nn.Tanh,
        Other,
        nn.Identity,
        nn.Tanh,
    ]
    assert names == ["Sequential.0", "Sequential.1"]


def test_a_size_may_be_one_number_or_three():
    assert triple(2) == (2, 2, 2)
    assert triple([1, 2, 3]) == (1, 2, 3)
