"""What DynamoNet's options may be is known before anything is built."""

import subprocess
import sys

import pytest

from dynamonet.models import dynamonet
from dynamonet.models.card import Clip
from dynamonet.models.catalogue import default_options

CLIP = Clip(frames=8, crop=32)
PLAIN = {"prediction": False, "dmr_features": 0}
RANGES = [
    ({"backbone": "vgg"}, "backbone must be one of resnet, resnext, not 'vgg'"),
    ({"depth": 20}, "depth must be one of 10, 18, 34, 50, 101 for a resnet, not 20"),
    ({"backbone": "resnext", "depth": 18}, "depth must be one of 50, 101 for a resnext, not 18"),
    ({"backbone": "resnext", "depth": 50, "width": 8}, "width must be a multiple of 16 for a resnext, not 8"),
    ({"width": 0}, "width must be at least 1, not 0"),
    ({"stem_frames": 4}, "stem_frames must be odd and at least 1, not 4"),
    ({"stem_frames": -1}, "stem_frames must be odd and at least 1, not -1"),
    ({"cardinality": 0}, "cardinality must be at least 1, not 0"),
    ({"shortcut": "C"}, "shortcut must be one of B, A, not 'C'"),
    ({"normalisation": "imagenet"}, "normalisation must be one of kinetics, 3d_resnets_2018, 3d_resnets_2020, not"),
    ({"stc_reduction": 0}, "stc_reduction must be at least 1, not 0"),
    ({"stc_combine": "x"}, "stc_combine must be one of mean, sum, not 'x'"),
    ({"dmr_features": -1}, "dmr_features must be at least 0, not -1"),
    ({"dmr_pooling": "x"}, "dmr_pooling must be one of mean, flatten, not 'x'"),
    ({"filter_size": 4}, "filter_size must be one of 3, 5, 7, 9, 11, not 4"),
    ({"filter_size": 13}, "filter_size must be one of 3, 5, 7, 9, 11, not 13"),
    ({"filter_source": "x"}, "filter_source must be one of temporal, pooled, static, not 'x'"),
    ({"filter_normalisation": "x"}, "filter_normalisation must be one of sum1, softmax, raw, not 'x'"),
    ({"filter_scales": 0}, "filter_scales must be at least 1, not 0"),
    ({"filter_scales": 7}, "filter_scales 7 needs frames whose sides are multiples of 64 pixels, not 32 x 32"),
]


@pytest.mark.parametrize(("wrong", "said"), RANGES)
@pytest.mark.parametrize("used", [True, False])
def test_a_value_out_of_range_is_refused_where_its_option_has_no_effect_too(wrong, said, used):
    options = {**({"stc": True} if used else PLAIN), **wrong}
    with pytest.raises(ValueError) as checked:
        dynamonet.check(CLIP, **{**default_options("dynamonet"), **options})
    with pytest.raises(ValueError) as built:
        dynamonet.build(5, CLIP, **options)
    assert str(checked.value) == str(built.value)
    assert str(checked.value).startswith(said)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"stc": True, "stc_reduction": 24}, "stc_reduction must divide the 64 channels of the first stage, unlike 24"),
        ({"stc": True, "width": 2, "depth": 50}, "stc_reduction must divide the 8 channels"),
        ({"filter_source": "static", "prediction": False}, "filter_source static needs prediction true"),
        ({"filter_source": "static", "features_detached": True}, "features_detached needs another filter_source"),
    ],
)
def test_options_that_contradict_each_other_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        dynamonet.build(5, CLIP, **wrong)


@pytest.mark.parametrize(
    "fine",
    [
        {"stc_reduction": 24},
        {"stc": True, "width": 4, "depth": 50},
        {**PLAIN, "filter_source": "static", "features_detached": True},
        {"filter_scales": 6},
        {"backbone": "resnet", "width": 8},
    ],
)
def test_what_contradicts_nothing_is_accepted(fine):
    dynamonet.check(CLIP, **{**default_options("dynamonet"), **fine})


def test_nothing_of_it_needs_torch():
    code = """
import sys
from dynamonet.models.card import Clip
from dynamonet.models.catalogue import check_options, model_names
for name in model_names():
    check_options(name, {}, Clip(frames=8, crop=32))
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)
