import json
import math

import pytest
import torch

from dynamonet.engine.schedule import Schedule
from dynamonet.recipe import Recipe


def schedule(**settings):
    return Schedule(Recipe(**{"steps": 100, "batch_size": 2, "learning_rate": 0.1, **settings}))


def plateau(**settings):
    return schedule(
        **{"schedule": "plateau", "decay_factor": 0.5, "plateau_steps": 1, "plateau_patience": 1, **settings}
    )


def rates_over(one, losses, start=0):
    """The rates of the steps whose losses these are."""
    rates = []
    for step, loss in enumerate(losses, start):
        rates.append(one.rate(step))
        one.observe(step, loss)
    return rates


def noisy_losses(steps):
    return torch.rand(steps, generator=torch.Generator().manual_seed(0), dtype=torch.float64).tolist()


def test_cosine_warms_up_and_decays_to_zero():
    one = schedule(warmup_steps=10)
    rates = [one.rate(step) for step in range(101)]
    assert rates[:10] == [0.1 * (step + 1) / 10 for step in range(10)]
    assert rates[10] == 0.1
    assert rates[10:] == [0.1 * 0.5 * (1 + math.cos(math.pi * ((step - 10) / 90))) for step in range(10, 101)]
    assert rates[55] == pytest.approx(0.05)
    assert rates[100] == 0


def test_a_constant_stays():
    one = schedule(schedule="constant", warmup_steps=2)
    assert [one.rate(step) for step in (0, 1, 2, 50, 99)] == [0.05, 0.1, 0.1, 0.1, 0.1]


def test_steps_multiply_the_rate_from_themselves_on():
    one = schedule(schedule="step", decay_steps=[30, 60], warmup_steps=5)
    found = [one.rate(step) for step in (4, 5, 29, 30, 59, 60, 99)]
    assert found == pytest.approx([0.1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001])


@pytest.mark.parametrize("decay_steps", [[100], [3, 50], [50, 50], []])
def test_decay_steps_that_would_do_nothing_are_refused(decay_steps):
    with pytest.raises(ValueError, match="decay_steps"):
        schedule(schedule="step", decay_steps=decay_steps, warmup_steps=5)


def test_a_plateau_lowers_the_rate_when_patience_is_exhausted():
    rates = rates_over(plateau(), [1.0, 0.9, 0.9, 0.9, 0.8, 0.85, 0.85, 0.85, 0.85])
    assert rates == [0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.025, 0.025]


def test_a_new_best_restores_patience():
    assert rates_over(plateau(), [1.0, 1.1, 0.9, 1.0, 0.8, 0.9, 0.7, 0.8]) == [0.1] * 8


def test_losses_are_averaged_before_they_are_compared():
    # Averages of 1, 1 and 1.5: the single loss of 0 is no new best.
    assert rates_over(plateau(plateau_steps=2), [1, 1, 0, 2, 1, 2, 1]) == [0.1] * 6 + [0.05]


def test_the_warm_up_is_not_observed():
    rates = rates_over(plateau(warmup_steps=3, plateau_patience=0), [0.0, 0.0, 0.0, 2.0, 1.0, 1.0, 1.0])
    assert rates == pytest.approx([0.1 / 3, 0.2 / 3, 0.1, 0.1, 0.1, 0.1, 0.05])


@pytest.mark.parametrize("patience", [0, 1, 3])
def test_a_plateau_is_that_of_torch(patience):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], 0.1)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, factor=0.5, patience=patience, threshold=0, eps=0)
    expected = []
    losses = noisy_losses(60)
    for loss in losses:
        expected.append(optimiser.param_groups[0]["lr"])
        theirs.step(loss)
    rates = rates_over(plateau(plateau_patience=patience), losses)
    assert rates == pytest.approx(expected)
    assert len(set(rates)) > 3


def test_a_past_rate_is_the_one_that_was_used():
    one = plateau(plateau_steps=3, plateau_patience=0)
    rates = rates_over(one, noisy_losses(60))
    assert [one.rate(step) for step in range(60)] == rates
    assert rates[0] > rates[-1]


def test_a_plateau_resumes_at_any_step():
    losses = noisy_losses(40)
    settings = {"plateau_steps": 3, "plateau_patience": 2, "warmup_steps": 4}
    undisturbed = rates_over(plateau(**settings), losses)
    assert len(set(undisturbed[4:])) > 1
    for stop in range(40):
        first, second = plateau(**settings), plateau(**settings)
        rates = rates_over(first, losses[:stop])
        second.load_state_dict(json.loads(json.dumps(first.state_dict())))
        assert rates + rates_over(second, losses[stop:], stop) == undisturbed


def test_a_saved_state_does_not_change_afterwards():
    one = plateau(plateau_patience=0)
    state = one.state_dict()
    rates_over(one, [1.0, 1.0])
    other = plateau(plateau_patience=0)
    other.load_state_dict(state)
    assert (one.rate(99), other.rate(99)) == (0.05, 0.1)


@pytest.mark.parametrize("settings", [{}, {"schedule": "constant"}, {"schedule": "step", "decay_steps": [50]}])
def test_other_schedules_take_no_note_of_the_loss(settings):
    one, unmoved = schedule(**settings), schedule(**settings)
    assert rates_over(one, [1.0] * 100) == [unmoved.rate(step) for step in range(100)]
