"""What is minimised: cross-entropy plus λ times frame prediction."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynamonet.errors import UserError
from dynamonet.models.card import COLOURS
from dynamonet.models.output import ModelOutput
from dynamonet.recipe import Recipe
from dynamonet.spec import RunSpec

VALUES = ("loss", "loss_classification", "loss_prediction", "train_top1")
"""What every step is logged by."""


def gradient_difference(predicted: Tensor, target: Tensor) -> Tensor:
    """mean |p − t| + mean ||∂y p| − |∂y t|| + mean ||∂x p| − |∂x t|| of frames (..., H, W).

    ∂y and ∂x are differences of neighbouring pixels. Mathieu et al. 2016, arXiv 1511.05440: the ℓ1 loss plus the image
    gradient difference loss with α = 1, both with weight 1; they take sums over a frame where this takes means.
    """
    loss = F.l1_loss(predicted, target)
    for axis in (-2, -1):
        loss = loss + F.l1_loss(predicted.diff(dim=axis).abs(), target.diff(dim=axis).abs())
    return loss


GREY_LEVEL = 1 / 255
LOSSES = {
    # β lies at the size of a visible error: pixels are in [0, 1]
    "smooth_l1": lambda predicted, target: F.smooth_l1_loss(predicted, target, beta=0.05),
    "l1": F.l1_loss,
    "l2": F.mse_loss,
    "gradient_difference": gradient_difference,
}


STILL = {
    "smooth_l1": 0.5 * GREY_LEVEL**2 / 0.05,
    "l1": GREY_LEVEL,
    "l2": GREY_LEVEL**2,
    "gradient_difference": GREY_LEVEL,
}
"""The loss of frames that are off by a grey level: of clips that move less, copying is no unit to measure by."""


@dataclass(frozen=True)
class Loss:
    total: Tensor
    classification: Tensor | None
    prediction: Tensor | None


def loss_of(output: ModelOutput, video: Tensor, labels: Tensor | None, recipe: Recipe, step: int) -> Loss:
    """The loss of one batch at a step, counted from 0, on which λ depends while it warms up.

    video: (N, C, T + 1, H, W) in [0, 1], of which the model saw the first T frames. labels: classes (N,), soft ones
    (N, K), or None for unlabelled clips. The prediction term is divided by the loss of copying each frame, or that
    of an error of one grey level if it is larger, so that 1 means "no better than copying" whatever the data set and
    the loss. Everything is computed in fp32, under autocast too.
    """
    classification = prediction = None
    if labels is not None:
        classification = F.cross_entropy(output.logits.float(), labels, label_smoothing=recipe.label_smoothing)
    if output.predicted_frames is not None:
        loss = LOSSES[recipe.prediction_loss]
        frames, target = video[:, :COLOURS, :-1], video[:, :COLOURS, 1:]
        unit = loss(frames, target).clamp_min(STILL[recipe.prediction_loss])
        prediction = loss(output.predicted_frames.float(), target) / unit
    terms = [] if classification is None else [classification]
    if prediction is not None and recipe.prediction_weight > 0:
        terms.append(prediction_weight(step, recipe) * prediction)
    return Loss(sum(terms), classification, prediction)


def prediction_weight(step: int, recipe: Recipe) -> float:
    """λ at a step: it rises to `recipe.prediction_weight` over the first `prediction_warmup_steps`."""
    return recipe.prediction_weight * min(1.0, (step + 1) / max(1, recipe.prediction_warmup_steps))


class Objective(nn.Module):
    """A model and its loss as one module.

    Where processes average their gradients, what leaves the module must be what is minimised: outputs that the
    loss does not use would be waited for. Raises UserError for pretraining that would minimise nothing.
    """

    def __init__(self, spec: RunSpec, model: nn.Module):
        super().__init__()
        self.spec, self.model = spec, model
        if spec.task == "pretrain" and spec.recipe.prediction_weight == 0:
            raise UserError(f"{spec.run}: pretraining minimises frame prediction alone: raise prediction_weight from 0")

    def forward(self, video: Tensor, labels: Tensor | None, step: int) -> tuple[Tensor, Tensor]:
        """The loss of one batch, and its VALUES: not a number where there is none. Arguments as in `loss_of`.

        Of soft labels, the top-1 accuracy takes the largest for the true one. Raises UserError if labels and
        predicted frames are both missing, or if no trained parameter has a part in the loss.
        """
        spec = self.spec
        output = self.model(video[:, :, : spec.clip.frames])
        if labels is None and output.predicted_frames is None:
            raise UserError(f"{spec.run}: model {spec.model!r} predicts no frames, so it cannot be pretrained")
        loss = loss_of(output, video, labels, spec.recipe, step)
        if torch.is_grad_enabled() and not loss.total.requires_grad:
            parts = ", ".join(spec.recipe.trainable)
            raise UserError(f"{spec.run}: the loss does not depend on the parts that are trained, {parts}: name others")
        top1 = None
        if labels is not None:
            classes = labels if labels.ndim == 1 else labels.argmax(1)
            top1 = (output.logits.argmax(1) == classes).float().mean()
        values = (loss.total, loss.classification, loss.prediction, top1)
        return loss.total, torch.stack([loss.total.new_tensor(math.nan) if v is None else v.detach() for v in values])
