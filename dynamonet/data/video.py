"""The exact reader: frames by their number in decoding output order.

Counting decoded frames from the start is exact for every container and codec. Time stamps are not: AVI files with
packed B-frames (most of HMDB51, part of UCF101) have none that can be trusted, and seeking in them returns other
frames than the ones asked for. So a file is read from the middle only with a `FrameClock`, which
`dynamonet.data.check.check_video` gives to those files in which it has found time stamps and seeking to be exact.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.stream import Disposition
from av.video.reformatter import VideoReformatter

from dynamonet.data.crop import Box
from dynamonet.data.seeking import FrameClock, OffClock, SeekingDecoder
from dynamonet.errors import UserError

PYAV_ERRORS = (av.FFmpegError, OSError, ValueError, IndexError)
"""What PyAV raises for a file that is no video, or a damaged one."""

STRICT = dict(err_detect="explode")
"""Options with which damage that FFmpeg finds is an error, and not pixels that it made up."""

UNPROBED = dict(codec_whitelist="none")
"""Options with which FFmpeg opens a file without decoding its first pictures and sounds, which takes longer than all
else of opening it: so it learns the formats of pixels and samples, which the decoder finds out by itself. How far
frames are reordered it may learn there too, so this is for files whose frames are then told by a clock."""


class VideoError(UserError):
    """A video that cannot be read as asked; `reason` is the part of the message without the path.

    With one argument, that is the message: a DataLoader makes it so of one that a worker has raised.
    """

    def __init__(self, path: Path | str, reason: str | None = None):
        super().__init__(
            str(path) if reason is None else f"Video {path} {reason}; replace it, or prepare the data set again."
        )
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
    duration_s: float
    """From the first frame to the end of the last: by time stamps where they ascend, else frames / fps."""
    clock: FrameClock | None
    """None where frames must be counted from the start."""


class Part(NamedTuple):
    """What of each frame is wanted. The frames' size is known from the manifest, and checked."""

    box: Box
    height: int
    width: int
    """Pixels of the whole frame, after rotation."""

    def of(self, path: Path, frames: np.ndarray) -> np.ndarray:
        """A view of whole frames (T, H, W, C) of a video. Raises VideoError if they are of another size."""
        height, width = frames.shape[1:3]
        if (height, width) != (self.height, self.width):
            raise VideoError(
                path, f"has frames of {width} x {height} pixels, and had {self.width} x {self.height} when prepared"
            )
        return self.box.of(frames)


def reader(name: str) -> Callable[..., np.ndarray]:
    """Return `read_frames` of a back end: "pyav", which brings its own FFmpeg, or "torchcodec", which needs one.

    Raises UserError for another name, and for "torchcodec" where it is not installed or finds no FFmpeg.
    """
    if name == "pyav":
        return read_frames
    if name != "torchcodec":
        raise UserError(f"There is no reader {name!r}; use 'pyav' or 'torchcodec'.")
    try:
        from dynamonet.data import torchcodec_reader
    except (ImportError, OSError, RuntimeError) as error:
        raise UserError(
            f"Reader 'torchcodec' cannot be loaded ({in_short(error).splitlines()[0]}); run `pip install -e"
            " .[torchcodec]` and install your system's FFmpeg libraries, or use reader 'pyav'."
        ) from error
    return torchcodec_reader.read_frames


def read_frames(
    path: Path, indices: Sequence[int], clock: FrameClock | None = None, part: Part | None = None
) -> np.ndarray:
    """Return uint8 RGB (len(indices), H, W, 3), upright, in the order asked for; H and W are those of `part`'s box.

    Indices may repeat and need not be sorted. Decoding stops after the last frame asked for. With `clock`, it starts
    at the key frame before the first one, and leaps from key frame to key frame over what was not asked for; a file
    in which the clock does not hold is read from its start, as without one. Raises VideoError for a file that cannot
    be decoded that far, is shorter, or has frames of another size than `part` says.
    """
    wanted, position = distinct(indices)
    try:
        images = _counted(path, wanted, part) if clock is None else _sought(path, wanted, clock, part)
    except OffClock:
        images = _counted(path, wanted, part)
    return images if np.array_equal(position, np.arange(len(wanted))) else images[position]


def distinct(indices: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct frame numbers, ascending, and the place among them of each index."""
    indices = np.asarray(indices, dtype=np.int64)
    if indices.size == 0 or indices.min() < 0:
        raise ValueError(f"frame indices must be a list of numbers from 0, not {indices.tolist()}")
    return np.unique(indices, return_inverse=True)


def decoded_frames(path: Path) -> Iterator[av.VideoFrame]:
    """Yield every frame, in decoding output order. Raises VideoError where the file cannot be decoded."""
    with opened(path) as stream:
        yield from _decoded(path, stream)


def quarter_turns(frame: av.VideoFrame) -> int:
    """Anticlockwise quarter turns that set the frame upright."""
    return round(frame.rotation / 90) % 4


def upright(pixels: np.ndarray, frame: av.VideoFrame) -> np.ndarray:
    """A view of the frame's pixels (H, W, ...), turned as its rotation tag says."""
    turns = quarter_turns(frame)
    return np.rot90(pixels, turns) if turns else pixels


def upright_rgb(frame: av.VideoFrame, reformatter: VideoReformatter) -> np.ndarray:
    """A view of the picture, uint8 (H, W, 3). One reformatter for all frames of a video keeps its tables."""
    # threads=1: the default converts each frame on all cores, which is slower and fights with other loader workers.
    plane = reformatter.reformat(frame, format="rgb24", threads=1).planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)  # longer than the frame is wide
    return upright(rows[:, : 3 * plane.width].reshape(plane.height, plane.width, 3), frame)


@contextmanager
def opened(path: Path, **options: str) -> Iterator[av.VideoStream]:
    """The first video stream that is no cover picture, opened with FFmpeg's options. Raises VideoError without one."""
    try:
        # Some HMDB51 files hold metadata that is not UTF-8.
        container = av.open(str(path), metadata_errors="ignore", options=STRICT | options)
    except PYAV_ERRORS as error:
        raise VideoError(path, f"cannot be opened ({in_short(error)})") from error
    with container:
        films = (stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic)
        stream = next(films, None)
        if stream is None:
            raise VideoError(path, "has no video stream")
        stream.codec_context.options = STRICT
        # Decoder threads take CPU time from the loader workers, and can deadlock when decoding stops early.
        stream.thread_type = "NONE"
        yield stream


def in_short(error: Exception) -> str:
    """FFmpeg's own words without the path, which the message already names."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


class _Images:
    """Upright pictures, uint8 RGB (count, H, W, 3), of a part of frames that come one by one."""

    def __init__(self, path: Path, count: int, part: Part | None):
        self.path, self.count, self.done, self.part = path, count, 0, part
        self.array: np.ndarray | None = None
        self.reformatter = VideoReformatter()

    def append(self, frame: av.VideoFrame) -> None:
        if frame.is_corrupt:
            raise VideoError(self.path, "is damaged")
        rgb = upright_rgb(frame, self.reformatter)[np.newaxis]
        image = (rgb if self.part is None else self.part.of(self.path, rgb))[0]
        if self.array is None:
            self.array = np.empty((self.count, *image.shape), np.uint8)
        if image.shape != self.array.shape[1:]:
            raise VideoError(self.path, "changes its frame size")
        self.array[self.done] = image
        self.done += 1


def _counted(path: Path, wanted: np.ndarray, part: Part | None) -> np.ndarray:
    images = _Images(path, len(wanted), part)
    with opened(path) as stream:
        for number, frame in enumerate(_decoded(path, stream)):
            if number == wanted[images.done]:
                images.append(frame)
                if images.done == len(wanted):
                    return images.array
    raise VideoError(path, f"has fewer than the {wanted[-1] + 1} frames asked for")


def _decoded(path: Path, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    size = None
    try:
        for frame in stream.container.decode(stream):
            if size not in (None, (frame.width, frame.height)):
                raise VideoError(path, "changes its frame size")
            size = frame.width, frame.height
            yield frame
    except PYAV_ERRORS as error:
        raise VideoError(path, f"cannot be decoded ({in_short(error)})") from error


def _sought(path: Path, wanted: np.ndarray, clock: FrameClock, part: Part | None) -> np.ndarray:
    images = _Images(path, len(wanted), part)
    with opened(path, **UNPROBED) as stream:
        decoder = SeekingDecoder(stream, clock)
        try:
            for number in wanted.tolist():
                images.append(decoder.frame(number))
        except PYAV_ERRORS as error:
            raise OffClock from error  # counting tells whether the file or the clock is at fault
    return images.array
