import pytest
import torch

from dynamonet.models.filter_generator import FilterGenerator, normalise_filters


def test_sum1_filters_sum_to_one_and_keep_the_identity():
    raw = torch.randn(2, 3, 5, 5)
    torch.testing.assert_close(normalise_filters(raw, "sum1").sum((-2, -1)), torch.ones(2, 3))
    identity = torch.zeros(1, 1, 5, 5)
    identity[..., 2, 2] = 1
    torch.testing.assert_close(normalise_filters(identity, "sum1"), identity)


def test_softmax_filters_are_positive_and_sum_to_one():
    filters = normalise_filters(torch.randn(2, 3, 5, 5), "softmax")
    assert (filters > 0).all()
    torch.testing.assert_close(filters.sum((-2, -1)), torch.ones(2, 3))


def test_generated_filters_start_as_the_identity_and_see_their_own_time():
    torch.manual_seed(0)
    generator = FilterGenerator((4, 6), size=3)
    features = [torch.randn(2, 4, 8, 5, 5), torch.randn(2, 6, 4, 3, 3)]
    filters = generator(features, 8)
    identity = torch.zeros(3, 3)
    identity[1, 1] = 1
    torch.testing.assert_close(filters, identity.expand(2, 8, 3, 3))
    torch.nn.init.normal_(generator.last.weight)
    assert generator(features, 8).std(1).max() > 0
    pooled = FilterGenerator((4, 6), size=3, pooled=True)
    torch.nn.init.normal_(pooled.last.weight)
    inner = pooled(features, 8)[:, 2:-2]  # the temporal convolution sees padding at both ends
    torch.testing.assert_close(inner, inner[:, :1].expand_as(inner))


@pytest.mark.parametrize("wrong", [{"size": 4}, {"size": 5, "normalisation": "sum2"}])
def test_impossible_filters_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        FilterGenerator((4,), **wrong)
