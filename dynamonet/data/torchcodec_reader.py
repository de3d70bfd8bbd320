"""The reader's second back end: TorchCodec, on the FFmpeg libraries of the system.

Only files with a clock are read with it: what TorchCodec calls exact is exact where time stamps are, which AVI files
with B-frames do not have. Importing this module fails where TorchCodec is missing or finds no FFmpeg.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torchcodec.decoders import VideoDecoder

from dynamonet.data import video
from dynamonet.data.seeking import FrameClock

EXACT_CODECS = ("h264", "hevc", "vp8", "vp9", "av1")
"""Codecs whose standards leave no pixel open. MPEG-4 pictures, such as XviD's, differ by rounding between FFmpegs."""


def read_frames(
    path: Path, indices: Sequence[int], clock: FrameClock | None = None, part: video.Part | None = None
) -> np.ndarray:
    """As `dynamonet.data.video.read_frames`, to the byte.

    By that reader too, where the file has no clock or another codec, or TorchCodec does not keep to the clock.
    """
    wanted, position = video.distinct(indices)
    images = None if clock is None else _decoded(path, wanted)
    if images is None:
        return video.read_frames(path, indices, clock, part)
    if part is not None:
        images = part.of(path, images)
    return images if np.array_equal(position, np.arange(len(wanted))) else images[position]


def _decoded(path: Path, wanted: np.ndarray) -> np.ndarray | None:
    """The frames, or None where TorchCodec cannot give them or their times are not those of their numbers."""
    try:
        # "approximate" computes times from the frame rate rather than reading all packets; the result is checked.
        decoder = VideoDecoder(str(path), dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="approximate")
        metadata = decoder.metadata
        if metadata.codec not in EXACT_CODECS:
            return None
        batch = decoder.get_frames_at(wanted.tolist())
    except (RuntimeError, IndexError, ValueError):
        return None
    numbers = (batch.pts_seconds.numpy() - metadata.begin_stream_seconds) * metadata.average_fps
    return batch.data.numpy() if np.allclose(numbers, wanted, rtol=0, atol=0.1) else None
