"""Builds any model of the catalogue behind one input convention."""

import torch
from torch import Tensor, nn

from dynamonet.errors import UserError
from dynamonet.models.card import Clip
from dynamonet.models.catalogue import check_options, model_file, model_module
from dynamonet.models.output import ModelOutput


class Classifier(nn.Module):
    """A network of the catalogue taking `video` (N, C, T, H, W) in [0, 1] and giving a `ModelOutput`.

    Normalisation is part of the model: mean and standard deviation come from its card. `forward` raises UserError
    naming `file`, where the network comes from, if that gives anything else than logits (N, `num_classes`); None:
    of any number of classes.
    """

    def __init__(
        self,
        net: nn.Module,
        mean: tuple[float, ...] | None,
        std: tuple[float, ...],
        num_classes: int | None = None,
        file: str = "a model",
    ):
        super().__init__()
        self.net, self.num_classes, self.file = net, num_classes, file
        self.normalises = mean is not None
        if mean is not None:
            self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1, 1), persistent=False)
            self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1, 1), persistent=False)

    def forward(self, video: Tensor) -> ModelOutput:
        output = self.net(self._normalised(video))
        output = output if isinstance(output, ModelOutput) else ModelOutput(logits=output)
        logits = output.logits
        if not isinstance(logits, Tensor):
            raise UserError(f"{self.file}: its network returns {type(logits).__name__}: return a tensor of logits")
        wanted = (len(video), self.num_classes or logits.shape[-1])
        if logits.shape != wanted:
            raise UserError(
                f"{self.file}: for {wanted[0]} clips and {wanted[1]} classes its network gives {tuple(logits.shape)}: "
                f"return logits {wanted}"
            )
        return output

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

    Raises UserError if the model or an option does not exist, if `build` refuses its arguments or fails, or if what
    it returns is no network.
    """
    options = check_options(name, options, clip)
    module, file = model_module(name), model_file(name)
    try:
        net = module.build(num_classes=num_classes, clip=clip, **options)
    except UserError:
        raise
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise UserError(f"model {name!r} refuses options {options} for clip {clip}: {reason}") from error
    if not isinstance(net, nn.Module):
        raise UserError(f"{file}: build returns {type(net).__name__}, and not a torch.nn.Module: return the network")
    return Classifier(net, module.CARD.mean, module.CARD.std, num_classes, file)


@torch.no_grad()
def check_output(model: Classifier, video: Tensor) -> None:
    """Pass `video` (N, C, T, H, W) through the model in evaluation mode, as it will be used.

    Raises UserError naming the model's file if that fails, or if a logit is not finite.
    """
    training = model.training
    try:
        logits = model.eval()(video).logits
    except UserError:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"{model.file}: its network fails on a clip of {tuple(video.shape[1:])}: {reason}") from error
    finally:
        model.train(training)
    if not logits.isfinite().all():
        raise UserError(f"{model.file}: its network gives logits that are not finite, untrained: mend it")
