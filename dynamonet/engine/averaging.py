"""The exponential moving average of the weights over the steps."""

import torch
from torch import Tensor, nn


class WeightAverage:
    """p ← d·p + (1 − d)·w after each step, from the initial weights on.

    d rises to `decay` as min(decay, (1 + n) / (10 + n)) after n updates, so that the initial weights are soon
    forgotten (TensorFlow's tf.train.ExponentialMovingAverage with `num_updates`). Floating-point buffers, such as the
    statistics of batch normalisation, are averaged like parameters, because they belong to the weights that they were
    measured with; others are copied (timm's ModelEmaV3, by default).
    """

    def __init__(self, net: nn.Module, decay: float):
        self.decay, self.updates = decay, 0
        self._weights = {name: value.detach().clone() for name, value in net.state_dict().items()}

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        """Take in the weights after a step."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        averages, currents = [], []
        for name, current in net.state_dict().items():
            if current.is_floating_point():
                averages.append(self._weights[name])
                currents.append(current)
            else:
                self._weights[name].copy_(current)
        torch._foreach_lerp_(averages, currents, 1 - decay)
        self.updates += 1

    def weights(self) -> dict[str, Tensor]:
        """The averaged state dict, in the network's names: no copy, the next update changes it."""
        return self._weights

    def state_dict(self) -> dict:
        """Everything that another WeightAverage of such a network needs to go on."""
        return {"updates": self.updates, "weights": self._weights}

    def load_state_dict(self, state: dict) -> None:
        self.updates = state["updates"]
        for name, average in self._weights.items():
            average.copy_(state["weights"][name])
