import pytest
from pydantic import ValidationError

from dynamonet.models.card import Clip, ModelCard, Views

ABOUT = {"title": "T", "clip": Clip(frames=8, crop=32), "source": "here"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"stored_flow": True}, "mean has 3 values, and the clip 5 channels: give one for each, or mean None"),
        ({"stored_flow": True, "mean": (0.5,) * 5}, "std has 3 values, and the clip 5 channels"),
        ({"mean": (0.5,)}, "mean has 1 values, and the clip 3 channels"),
    ],
)
def test_a_card_normalises_every_channel_or_none(wrong, said):
    with pytest.raises(ValidationError, match=said):
        ModelCard(**ABOUT, **wrong)


@pytest.mark.parametrize("flow", [{"mean": None}, {"mean": (0.5,) * 5, "std": (0.2,) * 5}])
def test_a_card_may_take_flow_with_its_own_normalisation_or_none(flow):
    assert ModelCard(**ABOUT, stored_flow=True, **flow).channels == 5


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"optimizer": "adamw"}, "optimizer"),
        ({"mixup": -1}, "greater than or equal to 0"),
        ({"batch_size": 3, "accumulation": 2}, "no 2 equal parts"),
    ],
)
def test_a_card_overrides_what_a_recipe_has(overrides, said):
    with pytest.raises(ValidationError, match=said):
        ModelCard(**ABOUT, recipe_overrides=overrides)
    assert ModelCard(**ABOUT, recipe_overrides={"optimiser": "sgd"}).recipe_overrides == {"optimiser": "sgd"}


@pytest.mark.parametrize(("views", "crop"), [(None, 32), (Views(), 32), (Views(crop=48), 48)])
def test_the_published_input_has_the_crop_of_the_published_views(views, crop):
    assert ModelCard(**ABOUT, views=views).published_input == Clip(frames=8, crop=crop)
