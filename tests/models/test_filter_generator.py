import pytest
import torch
import torch.nn.functional as F

from dynamonet.models.filter_generator import (
    SOFTMAX_CENTRE,
    FilterGenerator,
    FilterShape,
    StaticFilters,
    normalise_filters,
    resampling_weights,
)
from dynamonet.models.options import FILTER_NORMALISATIONS, FILTER_SIZES


def features():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator) for shape in ((2, 4, 8, 5, 5), (2, 6, 4, 3, 3), (2, 7, 1, 2, 2))]


def generator_of(shape=None, **options):
    torch.manual_seed(0)
    return FilterGenerator((4, 6, 7), shape or FilterShape(3), **options)


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


def test_raw_filters_are_left_as_they_are():
    raw = torch.randn(2, 3, 5, 5)
    assert torch.equal(normalise_filters(raw, "raw"), raw)


@pytest.mark.parametrize("size", FILTER_SIZES)
@pytest.mark.parametrize("normalisation", FILTER_NORMALISATIONS)
@pytest.mark.parametrize("source", ["temporal", "pooled", "static"])
def test_filters_of_every_kind_start_as_the_identity(size, normalisation, source):
    shape = FilterShape(size, scales=2, channels=3)
    if source == "static":
        filters = StaticFilters(8, shape, normalisation)(features(), 8)
    else:
        filters = generator_of(shape, normalisation=normalisation, pooled=source == "pooled")(features(), 8)
    assert filters.shape == (2, 8, 2, 3, size, size)
    if normalisation == "softmax":
        torch.testing.assert_close(filters[..., size // 2, size // 2], torch.full((2, 8, 2, 3), SOFTMAX_CENTRE))
        torch.testing.assert_close(filters.sum((-2, -1)), torch.ones(2, 8, 2, 3))
    else:
        torch.testing.assert_close(filters, shape.identity().expand_as(filters))


def test_filters_see_their_own_time_unless_pooled():
    for pooled in (False, True):
        generator = generator_of(pooled=pooled)
        torch.nn.init.normal_(generator.last.weight)
        inner = generator(features(), 8)[:, 2:-2]  # the temporal convolution sees padding at both ends
        assert torch.allclose(inner, inner[:, :1].expand_as(inner), atol=1e-6) == pooled


def test_static_filters_are_the_same_for_every_clip_and_one_for_each_frame():
    static = StaticFilters(8, FilterShape(3))
    torch.nn.init.normal_(static.raw)
    filters = static(features(), 8)
    other = static([torch.randn_like(feature) for feature in features()], 8)
    assert torch.equal(filters, other)
    assert torch.equal(filters[0], filters[1])
    assert filters[0].std(0).min() > 0
    assert sum(p.numel() for p in static.parameters()) == 8 * 9
    with pytest.raises(ValueError, match="clips of 8 frames, not 6"):
        static(features(), 6)


@pytest.mark.parametrize("inputs", [1, 2, 3, 4, 8, 11])
@pytest.mark.parametrize("outputs", [1, 5, 8])
def test_resampling_is_linear_interpolation(inputs, outputs):
    values = torch.randn(2, 3, inputs, dtype=torch.float64)
    expected = F.interpolate(values, size=outputs, mode="linear", align_corners=False)
    torch.testing.assert_close(values @ resampling_weights(inputs, outputs, values), expected)


def test_filters_keep_full_precision_under_autocast():
    generator = generator_of(FilterShape(5))
    half = [feature.bfloat16() for feature in features()]
    with torch.autocast("cpu", torch.bfloat16):
        filters = generator(half, 8)
    assert filters.dtype == torch.float32
    torch.testing.assert_close(filters.sum((-2, -1)), torch.ones(2, 8, 1, 1))
