"""The exact reader: frames by their number in decoding output order.

Time stamps are not used: AVI files with packed B-frames (most of HMDB51, part of UCF101) have none that
can be trusted, and seeking in them returns other frames than the ones asked for. Counting from the start
is exact for every container and codec.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from dynamonet.errors import UserError


class VideoError(UserError):
    """A video that cannot be read as asked; `reason` is the part of the message without the path."""

    def __init__(self, path: Path, reason: str):
        super().__init__(f"Video {path} {reason}; replace it, or prepare the data set again.")
        self.path, self.reason = path, reason

    def __reduce__(self):
        return VideoError, (self.path, self.reason)  # so that it crosses from a worker process


@dataclass(frozen=True)
class VideoInfo:
    frames: int
    """Counted by decoding: the number in the header is often wrong."""
    width: int
    height: int
    """Pixels, after rotation."""
    fps: float
    """From the header; 0 where it says nothing."""


def probe(path: Path) -> VideoInfo:
    """Decode the whole file. Raises VideoError for a file that does not decode from end to end."""
    with _opened(path) as stream:
        frames = 0
        for frame in _decoded(path, stream):
            size = _upright_size(frame)
            frames += 1
        fps = float(stream.average_rate or 0)
    if frames == 0:
        raise VideoError(path, "holds no frame")
    return VideoInfo(frames, *size, fps)


def read_frames(path: Path, indices: Sequence[int]) -> np.ndarray:
    """Return uint8 RGB (len(indices), H, W, 3), upright, in the order asked for.

    Indices may repeat and need not be sorted. Decoding stops after the last frame asked for. Raises
    VideoError for a file that cannot be decoded that far or is shorter.
    """
    indices = np.asarray(indices, dtype=np.int64)
    if indices.size == 0 or indices.min() < 0:
        raise ValueError(f"frame indices must be a list of numbers from 0, not {indices.tolist()}")
    wanted, position = np.unique(indices, return_inverse=True)
    images = []
    with _opened(path) as stream:
        reformatter = VideoReformatter()
        for number, frame in enumerate(_decoded(path, stream)):
            if number == wanted[len(images)]:
                # threads=1: the default converts each frame on all cores, which is slower and fights with the
                # other loader workers.
                rgb = reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
                images.append(np.rot90(rgb, _quarter_turns(frame)))
                if len(images) == len(wanted):
                    break
        else:
            raise VideoError(path, f"has fewer than the {wanted[-1] + 1} frames asked for")
    if np.array_equal(position, np.arange(len(images))):
        return np.stack(images)
    return np.stack(images)[position]


@contextmanager
def _opened(path: Path) -> Iterator[av.VideoStream]:
    try:
        # Some HMDB51 files hold metadata that is not UTF-8.
        container = av.open(str(path), metadata_errors="ignore")
    except (av.FFmpegError, OSError, ValueError, IndexError) as error:
        raise VideoError(path, f"cannot be opened ({_short(error)})") from error
    with container:
        if not container.streams.video:
            raise VideoError(path, "has no video stream")
        stream = container.streams.video[0]
        # Decoder threads take CPU time from the loader workers, and can deadlock when decoding stops early.
        stream.thread_type = "NONE"
        yield stream


def _decoded(path: Path, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    size = None
    try:
        for frame in stream.container.decode(stream):
            if size not in (None, (frame.width, frame.height)):
                raise VideoError(path, "changes its frame size")
            size = frame.width, frame.height
            yield frame
    except (av.FFmpegError, OSError, ValueError, IndexError) as error:
        raise VideoError(path, f"cannot be decoded ({_short(error)})") from error


def _quarter_turns(frame: av.VideoFrame) -> int:
    """Anticlockwise quarter turns that set the frame upright."""
    return round(frame.rotation / 90) % 4


def _upright_size(frame: av.VideoFrame) -> tuple[int, int]:
    size = frame.width, frame.height
    return size[::-1] if _quarter_turns(frame) % 2 else size


def _short(error: Exception) -> str:
    # FFmpeg's own words without the path, which the message already names.
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
