"""Mixup and cutmix: training clips that are mixtures of two, with labels mixed in the same proportion."""

import math

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from dynamonet.recipe import Recipe


def mix(
    video: Tensor, labels: Tensor, num_classes: int, recipe: Recipe, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Mix each clip of a batch with the one before it, by `recipe.mixup` or `recipe.cutmix`.

    video: float (N, C, T, H, W), the target of frame prediction included. labels: (N,). Returns the mixed video and
    soft labels (N, num_classes), or the very arguments if the recipe asks for neither. All draws come from `rng`: where
    both are asked for, which of them, with even odds; then one λ ~ Beta(α, α) for the batch, a clip's share in itself.

    mixup (Zhang et al. 2018, arXiv 1710.09412): λ · clip + (1 − λ) · other. cutmix (Yun et al. 2019, arXiv
    1905.04899): a box of the area 1 − λ, centred anywhere and cut off at the border, is the other clip's, in all frames
    the same; the labels' λ is then the area that is left. A clip alone is mixed with itself: it stays what it is.
    """
    if not (recipe.mixup or recipe.cutmix):
        return video, labels
    by_mixup = rng.random() < 0.5 if recipe.mixup and recipe.cutmix else recipe.mixup > 0
    alpha = recipe.mixup if by_mixup else recipe.cutmix
    share = rng.beta(alpha, alpha)
    if by_mixup:
        mixed = video.lerp(video.roll(1, 0), 1 - share)
    else:
        height, width = video.shape[-2:]
        side = math.sqrt(1 - share)
        rows, columns = _extent(height, side, rng), _extent(width, side, rng)
        mixed = video.clone()
        mixed[..., rows, columns] = video[..., rows, columns].roll(1, 0)
        share = 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / (height * width)
    soft = F.one_hot(labels, num_classes).to(video.dtype)
    return mixed, soft.lerp(soft.roll(1, 0), 1 - share)


def _extent(pixels: int, fraction: float, rng: np.random.Generator) -> slice:
    """A stretch of a fraction of the pixels around any of them, cut off at the border."""
    size = int(pixels * fraction)
    start = int(rng.integers(pixels)) - size // 2
    return slice(max(0, start), min(pixels, start + size))
