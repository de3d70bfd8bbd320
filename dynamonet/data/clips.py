"""Clips for training and evaluation: map-style data sets of uint8 tensors, and their batches.

Tensors stay uint8 until they are on the accelerator: four times less to collate and to copy.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset

from dynamonet.data.crop import Square, cut
from dynamonet.data.flow import StoredFlow, mirrored
from dynamonet.data.sampling import epoch_order, generator, random_clip, uniform_clips
from dynamonet.data.video import read_frames


@dataclass(frozen=True)
class ClipShape:
    frames: int
    stride: int
    """Video frames from one clip frame to the next."""
    crop: int
    """Side of the square that the network sees, in pixels."""
    extra_frames: int = 0
    """Frames after the clip at the same stride: the target of frame prediction."""

    @property
    def all_frames(self) -> int:
        return self.frames + self.extra_frames


CACHE_BYTES = 512 * 2**20
"""A data set whose decoded frames fit into this much memory is decoded once, not once an epoch."""


class _Rows:
    """The columns that a sample needs, as plain lists: a data frame row costs more than a crop."""

    def __init__(self, rows: pd.DataFrame, root: Path, flow_root: Path | None, keep: bool):
        self.root = Path(root)
        self.ids = rows["id"].tolist()
        self.paths = rows["path"].tolist()
        self.class_indices = rows["class_index"].tolist()
        self.video_frames = rows["frames"].tolist()
        self.flow = None if flow_root is None else StoredFlow(flow_root, rows)
        pixels = (rows["frames"] * rows["width"] * rows["height"]).sum()
        self.decoded: dict[int, np.ndarray] | None = {} if keep and 3 * pixels <= CACHE_BYTES else None

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, row: int, indices: np.ndarray) -> np.ndarray:
        """Frames uint8 (len(indices), H, W, 3) of a video."""
        path = self.root / self.paths[row]
        if self.decoded is None:
            return read_frames(path, indices)
        if row not in self.decoded:
            self.decoded[row] = read_frames(path, range(self.video_frames[row]))
        return self.decoded[row][indices]

    def cut(self, row: int, indices: np.ndarray, frames: np.ndarray, square: Square, crop: int) -> torch.Tensor:
        """A square of frames that `read` gave, with their stored flow if there is any, uint8 (C, T, crop, crop)."""
        colours = cut(frames, square, crop)
        if self.flow is None:
            return colours
        return torch.cat([colours, self.flow.cut(row, indices, frames.shape[1:3], square, crop)])


class TrainClips(Dataset):
    """One random clip of a video; the index is `(epoch, row)`.

    A sample holds `video`, uint8 (C, T + extra, crop, crop), `class_index` and `row`. The crop is a square
    with a side of `scale` times the short side, at a random place; `scale` is drawn from `scales`. C is 3; with
    `flow_root` it is 5, stored flow after the colours. Raises UserError for stored flow that does not fit.
    """

    def __init__(
        self,
        rows: pd.DataFrame,
        root: Path,
        shape: ClipShape,
        seed: int,
        scales: tuple[float, ...] = (1.0,),
        flip: bool = False,
        flow_root: Path | None = None,
    ):
        self.rows, self.shape, self.seed = _Rows(rows, root, flow_root, keep=True), shape, seed
        self.scales, self.flip = scales, flip

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: tuple[int, int]) -> dict:
        epoch, row = index
        key = self.seed, epoch, self.rows.ids[row]
        video_frames, shape = self.rows.video_frames[row], self.shape
        clip = random_clip(video_frames, shape.all_frames, shape.stride, generator(*key, "clip"))
        frames = self.rows.read(row, clip)
        square = self._square(*frames.shape[1:3], generator(*key, "crop"))
        video = self.rows.cut(row, clip, frames, square, shape.crop)
        if self.flip and generator(*key, "flip").random() < 0.5:
            video = mirrored(video)
        return dict(video=video, class_index=self.rows.class_indices[row], row=row)

    def _square(self, height: int, width: int, rng: np.random.Generator) -> Square:
        side = max(1, round(min(height, width) * self.scales[rng.integers(len(self.scales))]))
        top, left = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
        return Square(top, left, side)


class EvalClips(Dataset):
    """All views of a video, in one decoding pass; the index is the row.

    A sample holds `video`, uint8 (V, C, T + extra, crop, crop) with V = clips * crops, clips outermost,
    `class_index` and `row`. One crop is the centre, three are the centre and both ends of the long side. C and
    `flow_root` as in `TrainClips`.
    """

    def __init__(
        self,
        rows: pd.DataFrame,
        root: Path,
        shape: ClipShape,
        clips: int,
        crops: int,
        flow_root: Path | None = None,
    ):
        if crops not in (1, 3):
            raise ValueError(f"crops must be 1 or 3, not {crops}")
        self.rows, self.shape, self.clips, self.crops = _Rows(rows, root, flow_root, keep=False), shape, clips, crops

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> dict:
        shape = self.shape
        clips = uniform_clips(self.rows.video_frames[row], shape.all_frames, shape.stride, self.clips)
        # Clips overlap and loop: each frame is decoded, cropped and resized once.
        needed, position = np.unique(np.stack(clips), return_inverse=True)
        frames = self.rows.read(row, needed)
        height, width = frames.shape[1:3]
        side = min(height, width)
        halves = (1,) if self.crops == 1 else (0, 1, 2)  # how many halves of the spare length lie before the crop
        corners = [((height - side) * half // 2, (width - side) * half // 2) for half in halves]
        squares = torch.stack(
            [self.rows.cut(row, needed, frames, Square(top, left, side), shape.crop) for top, left in corners]
        )
        views = squares[:, :, torch.from_numpy(position.reshape(self.clips, -1))]
        # (crops, C, clips, T, h, w) -> (clips * crops, C, T, h, w)
        video = views.permute(2, 0, 1, 3, 4, 5).flatten(0, 1).contiguous()
        return dict(video=video, class_index=self.rows.class_indices[row], row=row)


def batches(n: int, batch_size: int, seed: int, start_step: int, steps: int) -> Iterator[list[tuple[int, int]]]:
    """Yield batches `start_step` to `steps` - 1 of an endless sequence, each a list of (epoch, row).

    The sequence is one epoch's permutation of the `n` rows after the other; a batch may straddle two
    epochs. Starting later yields the same batches as starting at 0 and discarding the first ones.
    """
    orders: dict[int, np.ndarray] = {}
    for step in range(start_step, steps):
        batch = []
        for position in range(step * batch_size, (step + 1) * batch_size):
            epoch, place = divmod(position, n)
            if epoch not in orders:
                orders = {epoch: epoch_order(n, seed, epoch)}
            batch.append((epoch, int(orders[epoch][place])))
        yield batch
