import math

import pytest
import torch
from torch import nn

from dynamonet.engine.objective import LOSSES, VALUES, Objective, gradient_difference, loss_of, prediction_weight
from dynamonet.errors import UserError
from dynamonet.models.card import Clip
from dynamonet.models.output import ModelOutput
from dynamonet.spec import Recipe, RunSpec, Views

VIDEO = torch.rand(2, 3, 5, 6, 6, generator=torch.Generator().manual_seed(0))
LOGITS = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
LABELS = torch.tensor([0, 0])


def recipe(**settings):
    return Recipe(**{"steps": 100, "batch_size": 2, "learning_rate": 0.1, **settings})


def objective(model, task="train", **settings):
    spec = RunSpec(
        task=task,
        model="some_model",
        build="some_model",
        options={},
        clip=Clip(frames=4, crop=16),
        extra_frames=1,
        dataset="some_data",
        dataset_key="",
        split=1,
        label_fraction=1,
        init=None,
        recipe=recipe(**settings),
        views=Views(),
        seed=0,
        threads=1,
    )
    return Objective(spec, model)


class Brightening(nn.Module):
    """Predicts each frame as the one before it times a factor; its logits are fixed."""

    def __init__(self, predicts=True):
        super().__init__()
        self.predicts = predicts
        self.factor, self.logits = nn.Parameter(torch.tensor(1.1)), nn.Parameter(LOGITS.clone())

    def forward(self, video):
        assert video.shape[2] == 4
        return ModelOutput(self.logits, video * self.factor if self.predicts else None)


@pytest.mark.parametrize("name", LOSSES)
def test_copying_the_last_frame_costs_one(name):
    loss = loss_of(ModelOutput(LOGITS, VIDEO[:, :, :-1]), VIDEO, None, recipe(prediction_loss=name), 0)
    assert loss.prediction.item() == pytest.approx(1)
    assert loss.classification is None


@pytest.mark.parametrize("name", LOSSES)
def test_of_still_clips_an_error_of_one_grey_level_costs_one(name):
    still = VIDEO[:, :, :1].expand(-1, -1, 5, -1, -1) / 2
    output = ModelOutput(LOGITS, still[:, :, 1:] + 1 / 255)
    loss = loss_of(output, still, None, recipe(prediction_loss=name), 0)
    assert loss.prediction.item() == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("name", LOSSES)
def test_a_perfect_prediction_costs_nothing(name):
    output = ModelOutput(LOGITS, VIDEO[:, :, 1:])
    assert loss_of(output, VIDEO, None, recipe(prediction_loss=name), 0).total.item() == 0


def test_each_loss_has_its_definition():
    predicted, target = torch.tensor([0.5, 0.51]), torch.tensor([0.4, 0.5])
    for name, expected in {
        "smooth_l1": (0.1 - 0.05 / 2 + 0.01**2 / (2 * 0.05)) / 2,
        "l1": (0.1 + 0.01) / 2,
        "l2": (0.1**2 + 0.01**2) / 2,
    }.items():
        assert LOSSES[name](predicted, target).item() == pytest.approx(expected, rel=1e-5)


def test_gradient_difference_is_that_of_absolute_gradients():
    predicted = torch.tensor([[0.0, 0.5, 0.2], [0.4, 0.0, 0.2]])
    target = torch.tensor([[0.0, 0.2, 0.2], [0.1, 0.3, 0.7]])
    absolute = (0 + 0.3 + 0 + 0.3 + 0.3 + 0.5) / 6
    down = (abs(0.4 - 0.1) + abs(0.5 - 0.1) + abs(0.0 - 0.5)) / 3
    across = (abs(0.5 - 0.2) + abs(0.3 - 0.0) + abs(0.4 - 0.2) + abs(0.2 - 0.4)) / 4
    assert gradient_difference(predicted, target).item() == pytest.approx(absolute + down + across)
    # A gradient of the other sign has the same size: what is left is the pixels' own difference.
    assert gradient_difference(target[:, :2], target[:, :2].flip(0)).item() == pytest.approx(0.1)


@pytest.mark.parametrize("name", LOSSES)
def test_each_loss_descends_to_the_target(name):
    target = VIDEO[:, :, 1:]
    predicted = VIDEO[:, :, :-1].clone().requires_grad_()
    costs = []
    for _ in range(30):
        loss = LOSSES[name](predicted, target)
        (gradient,) = torch.autograd.grad(loss, predicted)
        predicted = (predicted - 0.01 * gradient / gradient.norm() * predicted.numel() ** 0.5).detach().requires_grad_()
        costs.append(loss.item())
    assert costs[-1] < 0.6 * costs[0]


def test_the_total_is_the_weighted_sum():
    loss = loss_of(ModelOutput(LOGITS, VIDEO[:, :, :-1]), VIDEO, LABELS, recipe(prediction_weight=0.5), 0)
    expected = nn.functional.cross_entropy(LOGITS, LABELS).item() + 0.5
    assert loss.total.item() == pytest.approx(expected)


def test_a_model_that_only_classifies_has_no_prediction_term():
    loss = loss_of(ModelOutput(LOGITS), VIDEO, LABELS, recipe(), 0)
    assert loss.prediction is None
    assert torch.equal(loss.total, loss.classification)


def test_the_weight_of_prediction_warms_up():
    warming = recipe(prediction_weight=2.0, prediction_warmup_steps=4)
    assert [prediction_weight(step, warming) for step in (0, 1, 3, 4, 99)] == [0.5, 1.0, 2.0, 2.0, 2.0]
    assert prediction_weight(0, recipe(prediction_weight=2.0)) == 2.0
    loss = loss_of(ModelOutput(LOGITS, VIDEO[:, :, :-1]), VIDEO, LABELS, warming, 1)
    assert loss.total.item() == pytest.approx(loss.classification.item() + 1.0)
    assert loss.prediction.item() == pytest.approx(1)


def test_labels_are_smoothed():
    smoothing = recipe(label_smoothing=0.2)
    log_likely = LOGITS.log_softmax(1)
    expected = -(0.9 * log_likely[:, 0] + 0.1 * log_likely[:, 1]).mean().item()
    hard = loss_of(ModelOutput(LOGITS), VIDEO, LABELS, smoothing, 0)
    assert hard.classification.item() == pytest.approx(expected)
    soft = loss_of(ModelOutput(LOGITS), VIDEO, torch.tensor([[1.0, 0.0], [1.0, 0.0]]), smoothing, 0)
    assert soft.classification.item() == pytest.approx(expected)


def test_soft_labels_weigh_the_classes():
    soft = torch.tensor([[0.3, 0.7], [1.0, 0.0]])
    loss = loss_of(ModelOutput(LOGITS), VIDEO, soft, recipe(), 0)
    assert loss.total.item() == pytest.approx(-(soft * LOGITS.log_softmax(1)).sum(1).mean().item())


@pytest.mark.parametrize("autocast", [True, False])
@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_is_fp32_whatever_the_model_computes_in(name, autocast):
    logits, predicted = LOGITS.bfloat16() / 3, (0.9 * VIDEO[:, :, :-1]).bfloat16()
    settings = recipe(prediction_loss=name, label_smoothing=0.1)
    expected = loss_of(ModelOutput(logits.float(), predicted.float()), VIDEO, LABELS, settings, 0)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = loss_of(ModelOutput(logits, predicted), VIDEO, LABELS, settings, 0)
    assert found.total.dtype == torch.float32
    assert torch.equal(found.total, expected.total)


def test_the_module_gives_the_loss_and_its_values():
    loss, values = objective(Brightening(), prediction_weight=0.5)(VIDEO, LABELS, 0)
    total, classification, prediction, top1 = values.tolist()
    assert VALUES == ("loss", "loss_classification", "loss_prediction", "train_top1")
    assert loss.item() == total == pytest.approx(classification + 0.5 * prediction)
    assert top1 == 0.5
    assert not values.requires_grad


def test_the_module_counts_the_largest_soft_label():
    for soft, top1 in (([[0.6, 0.4], [0.4, 0.6]], 1.0), ([[0.4, 0.6], [0.4, 0.6]], 0.5), ([[0.4, 0.6], [0.9, 0.1]], 0)):
        _, values = objective(Brightening())(VIDEO, torch.tensor(soft), 0)
        assert values[VALUES.index("train_top1")].item() == top1


def test_the_module_follows_the_step():
    warming = objective(Brightening(), prediction_weight=1.0, prediction_warmup_steps=10)
    first, last = (warming(VIDEO, LABELS, step)[1] for step in (0, 9))
    assert (last - first)[0].item() == pytest.approx(0.9 * first[2].item())
    assert torch.equal(first[1:], last[1:])


def test_gradients_reach_what_each_term_depends_on():
    for labels, weight, reached in (
        (LABELS, 1.0, (True, True)),
        (LABELS, 0.0, (False, True)),
        (None, 1.0, (True, False)),
    ):
        model = Brightening()
        objective(model, prediction_weight=weight)(VIDEO, labels, 0)[0].backward()
        assert (model.factor.grad is not None, model.logits.grad is not None) == reached


def test_pretraining_has_prediction_alone():
    loss, values = objective(Brightening(), task="pretrain")(VIDEO, None, 0)
    assert loss.item() == values[0].item() == values[2].item()
    assert math.isnan(values[1])
    assert math.isnan(values[3])


def test_pretraining_without_anything_to_minimise_is_refused():
    with pytest.raises(UserError, match="'some_model' predicts no frames"):
        objective(Brightening(predicts=False), task="pretrain")(VIDEO, None, 0)
    with pytest.raises(UserError, match="raise prediction_weight from 0"):
        objective(Brightening(), task="pretrain", prediction_weight=0.0)


def test_training_what_the_loss_does_not_depend_on_is_refused():
    probe = Brightening()
    probe.factor.requires_grad_(False)
    with pytest.raises(UserError, match="does not depend on the parts that are trained, head"):
        objective(probe, task="pretrain", trainable=["head"])(VIDEO, None, 0)
    loss, _ = objective(probe, trainable=["head"])(VIDEO, LABELS, 0)
    assert loss.requires_grad
