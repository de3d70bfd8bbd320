"""What a study may say of training crops, flips and test views."""

from itertools import pairwise

import pytest
from pydantic import ValidationError

from dynamonet.errors import UserError
from dynamonet.expansion import expand
from dynamonet.recipe import Recipe
from dynamonet.study import load_study


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (dict(crop="resized", crop_scales=(0.5,)), "crop_scales has no effect on the crop resized"),
        (dict(crop_area=(0.2, 1.0)), "crop_area has no effect on the crop random"),
        (dict(crop="corners", crop_aspect=(0.5, 2.0)), "crop_aspect has no effect on the crop corners"),
        (dict(crop="resized", crop_short_side=(128, 160)), "crop_short_side has no effect on the crop resized"),
        (dict(crop="resized", crop_area=(0.5, 0.2)), "crop_area must be a least value above 0 and a largest"),
        (dict(crop="resized", crop_area=(0.0, 1.0)), "crop_area must be a least value above 0"),
        (dict(crop="resized", crop_area=(0.5, 1.1)), "crop_area must lie in"),
        (dict(crop="resized", crop_aspect=(-1.0, 1.0)), "crop_aspect must be a least value above 0"),
        (dict(crop="jitter", crop_short_side=(320, 256)), "crop_short_side must be a least value above 0"),
        (dict(flip_except=("left",)), "flip_except has no effect without flip"),
        (dict(crop="centre"), "crop"),
    ],
)
def test_a_setting_that_is_impossible_or_without_effect_is_refused(settings, said):
    with pytest.raises(ValidationError, match=said):
        Recipe(steps=1, batch_size=2, learning_rate=1, **settings)


@pytest.mark.parametrize(
    "settings",
    [
        dict(crop="corners", crop_scales=(1.0, 0.84)),
        dict(crop="resized", crop_area=(0.2, 1.0), crop_aspect=(0.5, 2.0)),
        dict(crop="jitter", crop_short_side=(128, 160)),
        dict(flip=True, flip_except=("left", "right")),
    ],
)
def test_every_setting_is_part_of_the_run(tiny, settings):
    before = set(expand(load_study(tiny)).runs)
    tiny["recipes"]["short"] |= settings
    assert before.isdisjoint(expand(load_study(tiny)).runs)


def test_short_videos_and_the_short_side_are_part_of_the_run(tiny):
    runs = [set(expand(load_study(tiny)).runs)]
    tiny["views"] = {"short_side": 40}
    runs.append(set(expand(load_study(tiny)).runs))
    for model in tiny["models"].values():
        model["clip"] = {**model["clip"], "short_videos": "pad"}
    runs.append(set(expand(load_study(tiny)).runs))
    assert all(one.isdisjoint(other) for one, other in pairwise(runs))


def test_crops_that_are_larger_than_the_scaled_frame_are_refused(tiny):
    tiny["views"] = {"short_side": 31}
    with pytest.raises(UserError, match=r"views\.short_side is 31, less than the crops of 32 pixels"):
        expand(load_study(tiny))
    tiny["views"] = {"short_side": 32, "crop": 48}
    with pytest.raises(UserError, match=r"views\.short_side is 32, less than the crops of 48 pixels"):
        expand(load_study(tiny))
    tiny["views"] = {"short_side": 32}
    tiny["recipes"]["short"] |= {"crop": "jitter", "crop_short_side": [30, 40]}
    with pytest.raises(UserError, match=r"crop_short_side of the recipe is 30, less than the crops of 32 pixels"):
        expand(load_study(tiny))
