"""The learning rate of each step."""

import math
from bisect import bisect_right

from dynamonet.recipe import Recipe


class Schedule:
    """Linear warm-up, then a half cosine to zero, a decay at given steps, a decay on plateaus, or a constant.

    The rate is a function of the step alone, so that a restart changes nothing; for plateaus, of the losses before
    it as well, which `state_dict` holds. A plateau is one of the training loss: neither test nor validation data are
    ever consulted. As in torch's ReduceLROnPlateau (without its threshold), `plateau_patience` averages that are not
    below the lowest so far are borne in a row, and the next one multiplies the rate.
    """

    def __init__(self, recipe: Recipe):
        self.recipe = recipe
        self.decay_steps = list(recipe.decay_steps)  # the first step at each lower rate
        self.lowest, self.borne = math.inf, 0
        self.total, self.count = 0.0, 0  # losses since the last average

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0; with plateaus, of one up to the first not yet observed."""
        recipe = self.recipe
        if step < recipe.warmup_steps:
            return recipe.learning_rate * (step + 1) / recipe.warmup_steps
        if recipe.schedule == "cosine":
            done = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
            return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
        return recipe.learning_rate * recipe.decay_factor ** bisect_right(self.decay_steps, step)

    def observe(self, step: int, loss: float) -> None:
        """Take note of the training loss of a step, the mean over processes. Those of the warm-up do not count."""
        recipe = self.recipe
        if recipe.schedule != "plateau" or step < recipe.warmup_steps:
            return
        self.total += loss
        self.count += 1
        if self.count < recipe.plateau_steps:
            return
        average = self.total / self.count
        self.total, self.count = 0.0, 0
        if average < self.lowest:
            self.lowest, self.borne = average, 0
        elif self.borne < recipe.plateau_patience:
            self.borne += 1
        else:
            self.decay_steps.append(step + 1)
            self.borne = 0

    def state_dict(self) -> dict:
        """Plain numbers, with which another Schedule of the same recipe goes on."""
        return {
            "decay_steps": list(self.decay_steps),
            "lowest": self.lowest,
            "borne": self.borne,
            "total": self.total,
            "count": self.count,
        }

    def load_state_dict(self, state: dict) -> None:
        self.decay_steps = list(state["decay_steps"])
        self.lowest, self.borne = state["lowest"], state["borne"]
        self.total, self.count = state["total"], state["count"]
