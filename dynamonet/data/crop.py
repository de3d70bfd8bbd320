"""Which part of a frame the network sees: the boxes of training crops and of test views. Free of torch."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple, TypeVar

import numpy as np

from dynamonet.recipe import Recipe

Pixels = TypeVar("Pixels")

ATTEMPTS = 10
"""Boxes that `resized_box` draws before it takes the centre, as torchvision does."""


class Box(NamedTuple):
    """A rectangle of a frame, in pixels."""

    top: int
    left: int
    height: int
    width: int

    def of(self, pixels: Pixels, frames: np.ndarray | slice = slice(None)) -> Pixels:
        """This part of some frames of pixels (T, H, W, C), an array or a tensor; of all of them, a view."""
        return pixels[frames, self.top : self.top + self.height, self.left : self.left + self.width]

    def on(self, frame: tuple[int, int], grid: tuple[int, int]) -> "Box":
        """The same part of a picture that has height and width `grid` where this box's has `frame`."""
        height, width = (
            min(to, max(1, round(size * min(grid) / min(frame)))) for size, to in zip(self[2:], grid, strict=True)
        )
        top, left = (
            min(round(start * to / of), to - size)
            for start, of, to, size in zip(self[:2], frame, grid, (height, width), strict=True)
        )
        return Box(top, left, height, width)

    def within(self, outer: "Box") -> "Box":
        """This box, which lies in `outer`, in the pixels of `outer`."""
        return self._replace(top=self.top - outer.top, left=self.left - outer.left)


def around(boxes: Sequence[Box]) -> Box:
    """The smallest box that holds all of them."""
    top, left = min(box.top for box in boxes), min(box.left for box in boxes)
    bottom, right = max(box.top + box.height for box in boxes), max(box.left + box.width for box in boxes)
    return Box(top, left, bottom - top, right - left)


Draw = Callable[[int, int, np.random.Generator], Box]
"""Draws the box of a training clip in frames of a height and a width."""


def training_box(recipe: Recipe, crop: int) -> Draw:
    """What the recipe's `crop` draws, for a network that sees squares of `crop` pixels."""
    return {
        "random": partial(random_square, scales=recipe.crop_scales),
        "corners": partial(corner_square, scales=recipe.crop_scales),
        "resized": partial(resized_box, area=recipe.crop_area, aspect=recipe.crop_aspect),
        "jitter": partial(jittered_square, crop=crop, short_side=recipe.crop_short_side),
    }[recipe.crop]


def random_square(height: int, width: int, rng: np.random.Generator, scales: Sequence[float] = (1.0,)) -> Box:
    """A square anywhere; its side is one of `scales` times the short side."""
    return _anywhere(height, width, _scaled_side(height, width, rng, scales), rng)


def corner_square(height: int, width: int, rng: np.random.Generator, scales: Sequence[float] = (1.0,)) -> Box:
    """A square in a corner or the centre, with even odds; its side is one of `scales` times the short side.

    MultiScaleCornerCrop of kenshohara/3D-ResNets-PyTorch, which takes it, without its changes of aspect, from TSN
    (Wang et al. 2016, arXiv 1608.00859, section 3.3).
    """
    side = _scaled_side(height, width, rng, scales)
    down, right = ((1, 1), (0, 0), (0, 2), (2, 0), (2, 2))[rng.integers(5)]  # halves of the room before the square
    return Box((height - side) * down // 2, (width - side) * right // 2, side, side)


def resized_box(
    height: int, width: int, rng: np.random.Generator, area: tuple[float, float], aspect: tuple[float, float]
) -> Box:
    """A box anywhere, of a share of the frame's area and an aspect (width / height) that is drawn uniformly in its log.

    The random resized crop of Inception (Szegedy et al. 2015, arXiv 1409.4842, section 6) as torchvision and
    PySlowFast draw it. Where none of 10 draws fits, the largest box at the centre that has an allowed aspect.
    """
    for _ in range(ATTEMPTS):
        pixels = rng.uniform(*area) * height * width
        ratio = math.exp(rng.uniform(math.log(aspect[0]), math.log(aspect[1])))
        box_height, box_width = round(math.sqrt(pixels / ratio)), round(math.sqrt(pixels * ratio))
        if 0 < box_height <= height and 0 < box_width <= width:
            top, left = rng.integers(0, height - box_height + 1), rng.integers(0, width - box_width + 1)
            return Box(int(top), int(left), box_height, box_width)
    box_height, box_width = min(height, round(width / aspect[0])), min(width, round(height * aspect[1]))
    return Box((height - box_height) // 2, (width - box_width) // 2, box_height, box_width)


def jittered_square(height: int, width: int, rng: np.random.Generator, crop: int, short_side: tuple[int, int]) -> Box:
    """What a random crop of `crop` pixels shows once the short side is scaled to a size drawn from `short_side`.

    Training of SlowFast (Feichtenhofer et al. 2019, arXiv 1812.03982, section 4); `random_short_side_scale_jitter`
    of PySlowFast and RandomShortSideScale of pytorchvideo. Only the pixels that are seen are ever scaled.
    """
    scaled = int(rng.integers(short_side[0], short_side[1] + 1))
    return _anywhere(height, width, _equivalent_side(height, width, crop, scaled), rng)


def view_boxes(
    height: int,
    width: int,
    crops: Literal[1, 3],
    crop: int,
    short_side: int | None = None,
    frame: tuple[int, int] | None = None,
) -> list[Box]:
    """The boxes of a test view's crops: the centre, or both ends of the long side with the centre between them.

    They are what crops of `crop` pixels show once the short side is scaled to `short_side` pixels; None: to `crop`. Or,
    as the transforms of torchvision's video models do, once height and width are scaled to those of `frame`.
    """
    if frame is None:
        box_height = box_width = _equivalent_side(height, width, crop, short_side or crop)
        wide = width >= height
    else:
        box_height, box_width = (max(1, round(of * crop / to)) for of, to in zip((height, width), frame, strict=True))
        wide = frame[1] >= frame[0]
    boxes = []
    for half in (1,) if crops == 1 else (0, 1, 2):  # halves of the room on the long side that lie before the box
        down, right = (1, half) if wide else (half, 1)
        boxes.append(Box((height - box_height) * down // 2, (width - box_width) * right // 2, box_height, box_width))
    return boxes


def _scaled_side(height: int, width: int, rng: np.random.Generator, scales: Sequence[float]) -> int:
    return max(1, round(min(height, width) * scales[rng.integers(len(scales))]))


def _equivalent_side(height: int, width: int, crop: int, short_side: int) -> int:
    return max(1, round(min(height, width) * crop / short_side))


def _anywhere(height: int, width: int, side: int, rng: np.random.Generator) -> Box:
    top, left = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
    return Box(int(top), int(left), side, side)
