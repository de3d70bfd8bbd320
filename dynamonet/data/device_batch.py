"""What is left to do with the pieces that were cut of videos, done by the loader's workers or on the accelerator.

On a CPU a worker finishes its samples. For an accelerator it only decodes and cuts: a batch of pieces of any size
travels as one run of bytes, and is resized, mirrored and put in order there. The pixels are the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import default_collate

from dynamonet.data.crop import Box
from dynamonet.data.flow import enlarged, mirrored
from dynamonet.data.resize import resized


@dataclass(frozen=True)
class Finish:
    """How pieces of one video become what the network sees of it."""

    crop: int
    boxes: tuple[tuple[Box, ...], ...]
    """For each piece (frames, and stored flow where there is any), the box of each crop, in pixels of the piece."""
    gains: tuple[tuple[float, float], ...] = ()
    """For each crop, the factors on stored motion to the right and down."""
    mirror: bool = False
    order: Tensor | None = None
    """For each clip (clips, T), its frames among those of the pieces; None: the one clip of all of them."""

    def __call__(self, pieces: Sequence[Tensor]) -> Tensor:
        """pieces: uint8 (frames, h, w, C'), C' = 3, and 2 of flow. Returns uint8 (C, T, crop, crop), or with an
        order (V, C, T, crop, crop), V = clips * crops, clips outermost; in memory the channels are last.
        """
        parts = [
            torch.stack([resized(box.of(piece), self.crop) for box in boxes])
            for piece, boxes in zip(pieces, self.boxes, strict=True)
        ]
        if self.gains:
            parts[1] = torch.stack([enlarged(flow, gain) for flow, gain in zip(parts[1], self.gains, strict=True)])
        video = parts[0] if len(parts) == 1 else torch.cat(parts, -1)  # (crops, frames, crop, crop, C)
        if self.order is None:
            video = video[0]
        else:
            # Whole frames are copied one by one: indexing by crop and frame takes five times as long.
            first = video.shape[1] * torch.arange(len(video))[:, None]
            rows = (self.order[:, None] + first).to(video.device)  # (clips, crops, T)
            video = video.flatten(0, 1).index_select(0, rows.flatten()).unflatten(0, (-1, rows.shape[-1]))
        video = video.movedim(-1, -4)
        return mirrored(video) if self.mirror else video


class Pieces(NamedTuple):
    """A sample that is not finished."""

    pixels: list[Tensor]
    finish: Finish


class DeviceBatch:
    """Samples of a batch that are not finished, as a sequence that can be sliced.

    All pixels are one tensor: one block of shared memory, one file descriptor and one transfer for a batch.
    """

    def __init__(self, pixels: Tensor, shapes: list[list[torch.Size]], finishes: list[Finish]):
        self.pixels, self.shapes, self.finishes = pixels, shapes, finishes

    @classmethod
    def of(cls, samples: Sequence[Pieces]) -> "DeviceBatch":
        pixels = torch.cat([piece.flatten() for sample in samples for piece in sample.pixels])
        shapes = [[piece.shape for piece in sample.pixels] for sample in samples]
        return cls(pixels, shapes, [sample.finish for sample in samples])

    def __len__(self) -> int:
        return len(self.finishes)

    def __getitem__(self, some: slice) -> "DeviceBatch":
        sizes = [sum(shape.numel() for shape in shapes) for shapes in self.shapes]
        first, last, _ = some.indices(len(self))
        pixels = self.pixels[sum(sizes[:first]) : sum(sizes[:last])]
        return DeviceBatch(pixels, self.shapes[some], self.finishes[some])

    def pin_memory(self) -> "DeviceBatch":
        """What a DataLoader calls before its process sees the batch."""
        return DeviceBatch(self.pixels.pin_memory(), self.shapes, self.finishes)

    def finished(self, device: torch.device) -> Tensor:
        """The samples as the loader's workers would have finished them, stacked, on the device."""
        sizes = [shape.numel() for shapes in self.shapes for shape in shapes]
        runs = iter(self.pixels.to(device, non_blocking=True).split(sizes))
        return _stacked(
            [
                finish([next(runs).view(shape) for shape in shapes])
                for finish, shapes in zip(self.finishes, self.shapes, strict=True)
            ]
        )


def collate(samples: list[dict]) -> dict:
    """A batch of samples, with `video` as a tensor (N, ...) if they are finished, as a DeviceBatch if not."""
    videos = [sample["video"] for sample in samples]
    batch = default_collate([{key: value for key, value in sample.items() if key != "video"} for sample in samples])
    return batch | {"video": DeviceBatch.of(videos) if isinstance(videos[0], Pieces) else _stacked(videos)}


def on_device(video: Tensor | DeviceBatch, device: torch.device) -> Tensor:
    """The `video` of a batch, uint8, on the device; from pinned memory the host does not wait."""
    return video.finished(device) if isinstance(video, DeviceBatch) else video.to(device, non_blocking=True)


def _stacked(videos: list[Tensor]) -> Tensor:
    # In memory the channels are last and stay there: another layout costs more than the resizing.
    return default_collate([video.movedim(-4, -1) for video in videos]).movedim(-1, -4)
