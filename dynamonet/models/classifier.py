"""Builds any model of the catalogue behind one input convention."""

import torch
from torch import Tensor, nn

from dynamonet.errors import UserError
from dynamonet.models.card import Clip
from dynamonet.models.catalogue import check_options, model_module
from dynamonet.models.output import ModelOutput


class Classifier(nn.Module):
    """A network of the catalogue taking `video` (N, C, T, H, W) in [0, 1] and giving a `ModelOutput`.

    Normalisation is part of the model: mean and standard deviation come from its card.
    """

    def __init__(self, net: nn.Module, mean: tuple[float, ...] | None, std: tuple[float, ...]):
        super().__init__()
        self.net = net
        self.normalises = mean is not None
        if mean is not None:
            self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1, 1), persistent=False)
            self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1, 1), persistent=False)

    def forward(self, video: Tensor) -> ModelOutput:
        output = self.net(self._normalised(video))
        return output if isinstance(output, ModelOutput) else ModelOutput(logits=output)

    def motion_representation(self, video: Tensor) -> Tensor:
        """The motion of each frame as a vector, (N, T, d), of a network that has such a representation.

        Raises UserError for one that has none.
        """
        if not hasattr(self.net, "motion_representation"):
            raise UserError(f"{type(self.net).__name__} has no motion representation: use a model that predicts frames")
        return self.net.motion_representation(self._normalised(video))

    def _normalised(self, video: Tensor) -> Tensor:
        return (video - self.mean) / self.std if self.normalises else video


def build_classifier(name: str, num_classes: int, options: dict, clip: Clip) -> Classifier:
    """Build model `name` with freshly initialised weights (from torch's global generator).

    Raises UserError if the model or an option does not exist, or if `build` refuses its arguments.
    """
    options = check_options(name, options, clip)
    module = model_module(name)
    try:
        net = module.build(num_classes=num_classes, clip=clip, **options)
    except (TypeError, ValueError, RuntimeError, ZeroDivisionError, AssertionError) as error:
        reason = str(error) or type(error).__name__
        raise UserError(f"model {name!r} refuses options {options} for clip {clip}: {reason}") from error
    return Classifier(net, module.CARD.mean, module.CARD.std)
