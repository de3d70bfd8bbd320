import pytest
import torch

from dynamonet.engine.objective import LOSSES, loss_of
from dynamonet.models.output import ModelOutput
from dynamonet.spec import Recipe

VIDEO = torch.rand(2, 3, 5, 6, 6, generator=torch.Generator().manual_seed(0))
LOGITS = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
LABELS = torch.tensor([0, 0])


def recipe(**settings):
    return Recipe(steps=1, batch_size=2, learning_rate=0.1, **settings)


@pytest.mark.parametrize("name", LOSSES)
def test_copying_the_last_frame_costs_one(name):
    loss = loss_of(ModelOutput(LOGITS, VIDEO[:, :, :-1]), VIDEO, None, recipe(prediction_loss=name))
    assert loss.prediction.item() == pytest.approx(1)
    assert loss.classification is None


def test_a_perfect_prediction_costs_nothing():
    assert loss_of(ModelOutput(LOGITS, VIDEO[:, :, 1:]), VIDEO, None, recipe()).total.item() == 0


def test_the_total_is_the_weighted_sum():
    loss = loss_of(ModelOutput(LOGITS, VIDEO[:, :, :-1]), VIDEO, LABELS, recipe(prediction_weight=0.5))
    expected = torch.nn.functional.cross_entropy(LOGITS, LABELS).item() + 0.5
    assert loss.total.item() == pytest.approx(expected)


def test_a_model_that_only_classifies_has_no_prediction_term():
    loss = loss_of(ModelOutput(LOGITS), VIDEO, LABELS, recipe())
    assert loss.prediction is None
    assert torch.equal(loss.total, loss.classification)
