"""What is minimised: cross-entropy plus λ times frame prediction."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynamonet.errors import UserError
from dynamonet.models.output import ModelOutput
from dynamonet.recipe import Recipe
from dynamonet.spec import RunSpec

VALUES = ("loss", "loss_classification", "loss_prediction", "train_top1")
"""What every step is logged by."""

LOSSES = {
    # β lies at the size of a visible error: pixels are in [0, 1]
    "smooth_l1": lambda predicted, target: F.smooth_l1_loss(predicted, target, beta=0.05),
    "l1": F.l1_loss,
    "l2": F.mse_loss,
}


@dataclass(frozen=True)
class Loss:
    total: Tensor
    classification: Tensor | None
    prediction: Tensor | None


def loss_of(output: ModelOutput, video: Tensor, labels: Tensor | None, recipe: Recipe) -> Loss:
    """The loss of one batch.

    video: (N, C, T + 1, H, W) in [0, 1], of which the model saw the first T frames. labels: (N,), None for
    unlabelled clips. The prediction term is divided by the loss of copying each frame, so that 1 means "no
    better than copying" whatever the data set and the loss.
    """
    classification = None if labels is None else F.cross_entropy(output.logits, labels)
    prediction = None
    if output.predicted_frames is not None:
        loss = LOSSES[recipe.prediction_loss]
        frames, target = video[:, :, :-1], video[:, :, 1:]
        prediction = loss(output.predicted_frames, target) / loss(frames, target).clamp_min(1e-8)
    terms = [] if classification is None else [classification]
    if prediction is not None and recipe.prediction_weight > 0:
        terms.append(recipe.prediction_weight * prediction)
    return Loss(sum(terms), classification, prediction)


class Objective(nn.Module):
    """A model and its loss as one module.

    Where processes average their gradients, what leaves the module must be what is minimised: outputs that the
    loss does not use would be waited for.
    """

    def __init__(self, spec: RunSpec, model: nn.Module):
        super().__init__()
        self.spec, self.model = spec, model

    def forward(self, video: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """The loss of one batch, and its VALUES: not a number where there is none. Arguments as in `loss_of`."""
        spec = self.spec
        output = self.model(video[:, :, : spec.clip.frames])
        if labels is None and output.predicted_frames is None:
            raise UserError(f"{spec.run}: model {spec.model!r} predicts no frames, so it cannot be pretrained")
        loss = loss_of(output, video, labels, spec.recipe)
        top1 = None if labels is None else (output.logits.argmax(1) == labels).float().mean()
        values = (loss.total, loss.classification, loss.prediction, top1)
        return loss.total, torch.stack([loss.total.new_tensor(math.nan) if v is None else v.detach() for v in values])
