"""Clips for training and evaluation: map-style data sets of uint8 tensors, and the order of training.

Tensors stay uint8 until they are on the accelerator: four times less to collate and to copy.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset

from dynamonet.data.crop import Box, Draw, around, random_square, view_boxes
from dynamonet.data.device_batch import Finish, Pieces
from dynamonet.data.flow import StoredFlow
from dynamonet.data.sampling import ShortVideos, epoch_order, generator, random_clip, uniform_clips
from dynamonet.data.seeking import FrameClock
from dynamonet.data.video import Part, VideoError
from dynamonet.data.video import reader as reader_called
from dynamonet.errors import UserError


@dataclass(frozen=True)
class ClipShape:
    frames: int
    stride: int
    """Video frames from one clip frame to the next."""
    crop: int
    """Side of the square that the network sees, in pixels."""
    extra_frames: int = 0
    """Frames after the clip at the same stride: the target of frame prediction."""
    short_videos: ShortVideos = "loop"

    @property
    def all_frames(self) -> int:
        return self.frames + self.extra_frames


CACHE_BYTES = 512 * 2**20
"""A data set whose decoded frames fit into this much memory is decoded once, not once an epoch."""
CPU = torch.device("cpu")


class _Rows:
    """The columns that a sample needs, as plain lists: a data frame row costs more than a crop."""

    def __init__(
        self,
        rows: pd.DataFrame,
        files_root: Path,
        flow_root: Path | None,
        reader: str,
        device: torch.device,
        keep: bool,
    ):
        self.files_root, self.device = Path(files_root), device
        self.read_frames = reader_called(reader)
        self.ids = rows["id"].tolist()
        self.files, self.file_bytes = rows["file"].tolist(), rows["file_bytes"].tolist()
        self.class_indices = rows["class_index"].tolist()
        self.video_frames = rows["frames"].tolist()
        self.sizes = list(zip(rows["height"].tolist(), rows["width"].tolist(), strict=True))
        self.clocks = list(zip(rows["first_pts"].tolist(), rows["pts_step"].tolist(), strict=True))
        self.flow = None if flow_root is None else StoredFlow(flow_root, rows)
        pixels = (rows["frames"] * rows["width"] * rows["height"]).sum()
        self.decoded: dict[int, np.ndarray] | None = {} if keep and 3 * pixels <= CACHE_BYTES else None

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, row: int, indices: np.ndarray, box: Box) -> np.ndarray:
        """A box of some frames of a video, uint8 (n, H, W, 3).

        Raises VideoError, which names the video's file and id, if it breaks or has changed since it was prepared.
        """
        path, clock = self.files_root / self.files[row], FrameClock(*self.clocks[row])
        size = self.sizes[row]
        try:
            if self.decoded is None:
                self._refuse_changed(row, path)
                return self.read_frames(path, indices, clock if clock.step else None, Part(box, *size))
            if row not in self.decoded:
                self._refuse_changed(row, path)
                whole = Part(Box(0, 0, *size), *size)
                self.decoded[row] = self.read_frames(path, range(self.video_frames[row]), part=whole)
        except VideoError as error:
            raise VideoError(path, f"({self.ids[row]}) {error.reason}") from error
        return box.of(self.decoded[row], indices)

    def _refuse_changed(self, row: int, path: Path) -> None:
        # By its size alone, which costs next to nothing: times change when a data set is moved.
        try:
            found = path.stat().st_size
        except OSError as error:
            raise VideoError(path, f"cannot be opened ({error.strerror})") from error
        if found != self.file_bytes[row]:
            raise VideoError(path, f"has {found} bytes, and had {self.file_bytes[row]} when it was prepared")

    def sample(
        self, row: int, indices: np.ndarray, boxes: Callable[[int, int], Sequence[Box]], crop: int, **rest
    ) -> dict:
        """The boxes of some frames; boxes: called with their height and width. rest: of `Finish`."""
        size = self.sizes[row]
        chosen = boxes(*size)
        outer = around(chosen)
        pieces = [torch.from_numpy(self.read(row, indices, outer))]
        inner, gains = [tuple(box.within(outer) for box in chosen)], ()
        if self.flow is not None:
            flow, flow_boxes, gains = self.flow.cut(row, indices, size, chosen)
            pieces.append(flow)
            inner.append(flow_boxes)
        finish = Finish(crop, tuple(inner), gains, **rest)
        video = finish(pieces) if self.device.type == "cpu" else Pieces(pieces, finish)
        return dict(video=video, class_index=self.class_indices[row], row=row)


class TrainClips(Dataset):
    """One random clip of a video; the index is `(epoch, row)`.

    A sample holds `video`, uint8 (C, T + extra, crop, crop), `class_index` and `row`. C is 3; with `flow_root` it is
    5, stored flow after the colours. rows: of a manifest. box: where it is cut. flip: mirror every other clip, unless
    its class index is in `never_flipped`. device: where the network is; for another than a CPU, `video` is left to be
    finished there (`device_batch`). Raises UserError for stored flow that does not fit and for a reader that is
    not there.
    """

    def __init__(
        self,
        rows: pd.DataFrame,
        files_root: Path,
        shape: ClipShape,
        seed: int,
        *,
        box: Draw = random_square,
        flip: bool = False,
        never_flipped: Collection[int] = (),
        flow_root: Path | None = None,
        reader: str = "pyav",
        device: torch.device = CPU,
    ):
        self.rows = _Rows(rows, files_root, flow_root, reader, device, keep=True)
        self.shape, self.seed, self.box, self.flip, self.never_flipped = shape, seed, box, flip, never_flipped

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: tuple[int, int]) -> dict:
        epoch, row = index
        key = self.seed, epoch, self.rows.ids[row]
        shape, flips = self.shape, self.flip and self.rows.class_indices[row] not in self.never_flipped
        clip = random_clip(
            self.rows.video_frames[row], shape.all_frames, shape.stride, generator(*key, "clip"), shape.short_videos
        )
        return self.rows.sample(
            row,
            clip,
            lambda height, width: [self.box(height, width, generator(*key, "crop"))],
            shape.crop,
            mirror=flips and generator(*key, "flip").random() < 0.5,
        )


class EvalClips(Dataset):
    """All views of a video, in one decoding pass; the index is the row.

    A sample holds `video`, uint8 (V, C, T + extra, crop, crop) with V = clips * crops, clips outermost,
    `class_index` and `row`. crops, short_side, frame: as in `view_boxes`. All else as in `TrainClips`.
    """

    def __init__(
        self,
        rows: pd.DataFrame,
        files_root: Path,
        shape: ClipShape,
        clips: int,
        crops: int,
        *,
        short_side: int | None = None,
        frame: tuple[int, int] | None = None,
        flow_root: Path | None = None,
        reader: str = "pyav",
        device: torch.device = CPU,
    ):
        if crops not in (1, 3):
            raise ValueError(f"crops must be 1 or 3, not {crops}")
        self.rows = _Rows(rows, files_root, flow_root, reader, device, keep=False)
        self.shape, self.clips, self.crops, self.short_side, self.frame = shape, clips, crops, short_side, frame
        self.device, self.views = device, clips * crops

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> dict:
        shape = self.shape
        clips = uniform_clips(
            self.rows.video_frames[row], shape.all_frames, shape.stride, self.clips, shape.short_videos
        )
        # Clips overlap and loop: each frame is decoded, cropped and resized once.
        needed, place = np.unique(clips, return_inverse=True)
        return self.rows.sample(
            row,
            needed,
            lambda height, width: view_boxes(height, width, self.crops, shape.crop, self.short_side, self.frame),
            shape.crop,
            order=torch.from_numpy(place.reshape(clips.shape)),
        )


def class_indices(names: Collection[str], classes: Sequence[str], key: str) -> frozenset[int]:
    """The indices of classes that `key` of a recipe names. Raises UserError for a name that is no class."""
    for name in names:
        if name not in classes:
            some = f", such as {', '.join(classes[:3])}" if classes else ""
            raise UserError(f"{key}: {name!r} is none of the data set's {len(classes)} classes{some}: correct the name")
    return frozenset(map(list(classes).index, names))


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
