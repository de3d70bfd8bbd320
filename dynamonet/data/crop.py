"""Squares of frames, cut and resized."""

from typing import NamedTuple

import numpy as np
import torch


class Square(NamedTuple):
    """A square of a frame, in pixels."""

    top: int
    left: int
    side: int

    def on(self, frame: tuple[int, int], grid: tuple[int, int]) -> "Square":
        """The same part of a picture that has height and width `grid` where this square's has `frame`."""
        side = max(1, round(self.side * min(grid) / min(frame)))
        top, left = (
            min(round(start * to / of), to - side) for start, of, to in zip(self[:2], frame, grid, strict=True)
        )
        return Square(top, left, side)


def cut(frames: np.ndarray, square: Square, crop: int) -> torch.Tensor:
    """Cut a square from uint8 (T, H, W, C) and resize it to uint8 (C, T, crop, crop)."""
    top, left, side = square
    # Cropping first leaves fewer pixels to resize.
    pixels = torch.from_numpy(frames)[:, top : top + side, left : left + side].permute(0, 3, 1, 2)
    if side != crop:
        from torchvision.transforms.v2 import functional  # slow to import, and often not needed

        pixels = functional.resize(pixels.contiguous(), [crop, crop], antialias=True)
    return pixels.permute(1, 0, 2, 3).contiguous()
