"""Stored optical flow: one array per video, cut and mirrored exactly like the video's frames.

The file of video `<path>` is `<flow_root>/<path>.npy`: uint8 (frames - 1, H, W, 2), of which field t is the motion
from frame t to frame t + 1. The last axis is (right, down). `FLOW_ZERO`, 128, is no motion; `FLOW_STEPS`, 127 steps
above it, are a motion by `FLOW_BOUND`, 20 pixels of a frame whose shorter side has `FLOW_SIDE`, 256 pixels; what moves
faster is clamped. Bound and side are those of the two-stream I3D (README of deepmind/kinetics-i3d). The unit is
relative, so H and W may be any size of the video's shape.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dynamonet.data.crop import Box, around
from dynamonet.errors import UserError
from dynamonet.files import atomic_path
from dynamonet.models.card import COLOURS, FLOW_BOUND, FLOW_STEPS, FLOW_ZERO

SHAPE_TOLERANCE = 0.1
"""By how much the stored fields may be wider or narrower than the video: RAFT's sides are multiples of 8."""


def flow_path(root: Path, video_path: str) -> Path:
    """The flow of the video at `video_path`, relative to its data set's root."""
    return Path(root) / f"{video_path}.npy"


def write_flow(path: Path, flow: np.ndarray) -> None:
    """Write the flow of one video. flow: (frames - 1, H, W, 2), (right, down), in 256ths of the shorter side."""
    steps = np.rint(flow * (FLOW_STEPS / FLOW_BOUND)).clip(-FLOW_STEPS, FLOW_STEPS)
    with atomic_path(path) as temporary:
        np.save(temporary, (steps + FLOW_ZERO).astype(np.uint8))


class StoredFlow:
    """The stored flow of the videos in `rows` of a manifest.

    Raises UserError naming the first file that is missing or does not fit its video.
    """

    def __init__(self, root: Path, rows: pd.DataFrame):
        self.paths = [flow_path(root, path) for path in rows["path"]]
        self.video_frames = rows["frames"].tolist()
        for row, size in enumerate(zip(rows["height"], rows["width"], strict=True)):
            shape = self._fields(row).shape
            if abs(np.log(shape[1] / shape[2] * size[1] / size[0])) > SHAPE_TOLERANCE:
                raise UserError(
                    f"{self.paths[row]} holds fields of {shape[1]} x {shape[2]} pixels, unlike the video's frames of "
                    f"{size[0]} x {size[1]}: remove it and write it again"
                )

    def cut(
        self, row: int, indices: Sequence[int], frame: tuple[int, int], boxes: Sequence[Box]
    ) -> tuple[Tensor, tuple[Box, ...], tuple[tuple[float, float], ...]]:
        """The flow from each frame to the next of the video, around boxes of its frames, which have height and width
        `frame`: uint8 (len(indices), h, w, 2). The last frame, which has no next, gets the field before it.

        Beside it, the boxes in its pixels, and for each the factors to `enlarge` its motion by: as a crop it is in
        256ths of the crop's sides, and grows as the box is enlarged.
        """
        fields = self._fields(row)
        grid = fields.shape[1:3]
        boxes = [box.on(frame, grid) for box in boxes]
        outer = around(boxes)
        pixels = np.asarray(outer.of(fields, np.minimum(indices, len(fields) - 1)))  # reads no more than that
        gains = tuple((min(grid) / box.width, min(grid) / box.height) for box in boxes)
        return torch.from_numpy(pixels), tuple(box.within(outer) for box in boxes), gains

    def _fields(self, row: int) -> np.ndarray:
        path, needed = self.paths[row], self.video_frames[row] - 1
        if needed == 0:
            raise UserError(f"the video of {path} has a single frame, and no flow: take it off the data set's lists")
        try:
            fields = np.lib.format.open_memmap(path, mode="r")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"{path} is missing or no .npy file ({reason}): write it with `dynamonet flow`") from error
        if fields.dtype != np.uint8 or fields.ndim != 4 or fields.shape[3] != 2 or 0 in fields.shape[1:]:
            raise UserError(
                f"{path} holds {fields.dtype} {fields.shape}, not uint8 (frames - 1, height, width, 2): remove it and "
                "write it again"
            )
        if len(fields) != needed:
            raise UserError(
                f"{path} holds {len(fields)} fields, its video of {needed + 1} frames needs {needed}: remove it and "
                "write it again"
            )
        return fields


def mirrored(video: Tensor) -> Tensor:
    """A clip, uint8 (C, T, H, W), seen in a mirror: left and right change places, and so does the sign of motion."""
    video = video.flip(-1)
    video[COLOURS : COLOURS + 1].neg_()  # modulo 256, which takes 128 + x to 128 - x
    return video


def enlarged(flow: Tensor, gain: tuple[float, float]) -> Tensor:
    """Stored flow, uint8 (..., 2), of a motion that is `gain` times as large to the right and down."""
    if gain == (1, 1):
        return flow
    steps = flow.float().sub_(FLOW_ZERO).mul_(flow.new_tensor(gain, dtype=torch.float32))
    return steps.round_().clamp_(-FLOW_STEPS, FLOW_STEPS).add_(FLOW_ZERO).to(torch.uint8)
