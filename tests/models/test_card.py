import pytest
from pydantic import ValidationError

from dynamonet.models.card import Clip, ModelCard

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
