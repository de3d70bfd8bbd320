"""Prepared copies: a video encoded again, every frame under its number, so that random access is exact and cheap.

H.264 with a key frame every 8 frames, no B-frames, and frame n at n times a constant step. The source is read by
counting, as everywhere; a copy is held against it before it gets its name (docs/prepared-copies.md).
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from dynamonet.data.check import check_video
from dynamonet.data.copy_recipe import ENCODER, ENCODER_OPTIONS, GOP, CopyRecipe
from dynamonet.data.sampling import generator
from dynamonet.data.seeking import FrameClock
from dynamonet.data.video import VideoError, decoded_frames, in_short, opened, quarter_turns
from dynamonet.files import atomic_path, sha256_bytes

# Exact rounding, so that pixels do not depend on the vector instructions of the CPU.
SCALING = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.BITEXACT

STORED_FORMATS = ("yuv420p", "yuvj420p")
"""Of sources whose planes are scaled as they are; the second one is the first with the full range of values."""

DEFAULT_FPS, MAX_FPS, MAX_FPS_DENOMINATOR = Fraction(30), 240, 1001

SAMPLES = 8
"""Frames of a copy, at most, whose PSNR is taken; the key frame before each is held against its neighbours too."""
LEAST_PSNR_DB, LEAST_PSNR_CRF, MOST_PSNR_DB = 30.0, 18, 100.0
"""A sampled frame under 30 dB at crf 18 is another picture, or nothing but noise; each crf more may take 1 dB more."""

NEIGHBOUR_MARGIN, NEIGHBOUR_SLACK = 1.05, 0.5
"""How much farther (a factor, and squared grey levels) a copied key frame may be from its source frame than from a
neighbour of that. Only key frames tell: other frames repeat those before them where little moves."""


@dataclass(frozen=True)
class CopyInfo:
    """A copy that has been held against its source."""

    frames: int
    width: int
    height: int
    """Pixels; the copy is upright."""
    clock: FrameClock
    bytes: int
    sha256: str
    psnr_db: tuple[float, ...]
    """PSNR-Y of the sampled frames against the scaled source, at most 100 dB."""
    encoder: str
    """As the encoder itself has written it into the file."""

    @property
    def psnr_mean_db(self) -> float:
        return sum(self.psnr_db) / len(self.psnr_db)

    @property
    def psnr_min_db(self) -> float:
        return min(self.psnr_db)


class _Unfaithful(Exception):
    """A copy that is not what it should be."""


def make_copy(source: Path, out: Path, recipe: CopyRecipe, expected_frames: int) -> CopyInfo:
    """Write the copy of a video of `expected_frames` frames to `out`, whole or not at all.

    A file that is there already is held against the source like a new one; if it is a true copy it stays. Raises
    VideoError, with the source's name, for a source that does not decode, has other frames than expected or cannot be
    encoded, and for a copy that differs from it; OSError where the copy cannot be written.
    """
    samples = _samples(expected_frames)
    if out.is_file():
        originals = _read(source, recipe, expected_frames, samples)
        try:
            return _checked(out, recipe, originals, samples, expected_frames)
        except (_Unfaithful, VideoError):
            pass  # damaged since it was written: it is made again
    with atomic_path(out) as temporary:
        try:
            with _encoder(temporary, recipe, _rate(source)) as encode:
                originals = _read(source, recipe, expected_frames, samples, encode)
        except OSError:
            raise
        except av.FFmpegError as error:
            raise VideoError(source, f"cannot be encoded ({in_short(error)})") from error
        try:
            return _checked(temporary, recipe, originals, samples, expected_frames)
        except _Unfaithful as error:
            raise VideoError(source, f"gives a copy that {error}") from None
        except VideoError as error:
            raise VideoError(source, f"gives a copy that {error.reason}") from error


def _samples(frames: int) -> set[int]:
    """First, middle and last frame, and some that depend on the number of frames."""
    drawn = generator("copy check", frames).integers(0, frames, SAMPLES - 3)
    return {0, frames // 2, frames - 1, *drawn.tolist()}


def _key_frames(samples: set[int]) -> set[int]:
    return {number // GOP * GOP for number in samples}


def _read(
    source: Path,
    recipe: CopyRecipe,
    expected_frames: int,
    samples: set[int],
    take: Callable[[av.VideoFrame], None] = lambda frame: None,
) -> dict[int, np.ndarray]:
    """Hand every frame, scaled, to `take`; return the luma (H, W) of the frames that a check needs."""
    wanted = samples | {key + offset for key in _key_frames(samples) for offset in (-1, 0, 1)}
    lumas, frames = {}, 0
    for number, frame in enumerate(_scaled(source, recipe)):
        if number in wanted:
            lumas[number] = _luma(frame)
        take(frame)
        frames += 1
    if frames != expected_frames:
        raise VideoError(source, f"has {frames} frames now, and had {expected_frames} when it was checked")
    return lumas


def _scaled(source: Path, recipe: CopyRecipe) -> Iterator[av.VideoFrame]:
    """Frames as a copy stores them: yuv420p, upright, both sides even."""
    reformatter = VideoReformatter()
    for frame in decoded_frames(source):
        turns = quarter_turns(frame)
        if frame.interlaced_frame or frame.format.name not in STORED_FORMATS:
            # As readers see it: fields would be scaled one by one, and chroma be placed elsewhere.
            rgb = reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
        width, height = _stored_size(frame.width, frame.height, recipe.short_side)
        scaled = reformatter.reformat(frame, width, height, "yuv420p", interpolation=SCALING, threads=1)
        # A frame of its own: what else the source's frame says, such as its picture type, would guide the encoder.
        stored = av.VideoFrame.from_ndarray(_turned(scaled.to_ndarray(), turns), format="yuv420p")
        stored.colorspace, stored.color_range = scaled.colorspace, scaled.color_range
        yield stored


def _stored_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Both sides even, the shorter one at most `short_side` and no longer than it was."""
    short = max(2, min(short_side, width, height) // 2 * 2)
    scale = short / min(width, height)
    return 2 * round(width * scale / 2), 2 * round(height * scale / 2)


def _turned(yuv420p: np.ndarray, quarter_turns: int) -> np.ndarray:
    """Turn the three planes, which lie one below the other in (3 / 2 height, width), anticlockwise."""
    if quarter_turns == 0:
        return yuv420p
    height, width = yuv420p.shape[0] * 2 // 3, yuv420p.shape[1]
    luma, chroma = yuv420p[:height], yuv420p[height:].reshape(2, height // 2, width // 2)
    turned = [np.rot90(plane, quarter_turns) for plane in (luma, *chroma)]
    return np.concatenate([plane.ravel() for plane in turned]).reshape(-1, turned[0].shape[1])


def _luma(frame: av.VideoFrame) -> np.ndarray:
    return frame.to_ndarray()[: frame.height].copy()


def _rate(source: Path) -> Fraction:
    """Frames per second of the copy, for players: the source's mean. Readers go by frame numbers."""
    with opened(source) as stream:
        rate = stream.average_rate
    return Fraction(rate).limit_denominator(MAX_FPS_DENOMINATOR) if rate and 1 <= rate <= MAX_FPS else DEFAULT_FPS


@contextmanager
def _encoder(path: Path, recipe: CopyRecipe, rate: Fraction) -> Iterator[Callable[[av.VideoFrame], None]]:
    """Yield a function that encodes the next frame; the file is whole when the context ends."""
    options = {"fflags": "+bitexact", "movflags": "+faststart"}
    with av.open(str(path), "w", format="mp4", options=options) as container:
        stream = container.add_stream(ENCODER, rate=rate, options=ENCODER_OPTIONS | {"crf": str(recipe.crf)})
        stream.pix_fmt, stream.gop_size = "yuv420p", GOP
        context = stream.codec_context
        context.time_base, context.thread_count = 1 / rate, 1
        frames = 0

        def encode(frame: av.VideoFrame) -> None:
            nonlocal frames
            if frames == 0:
                stream.width, stream.height = frame.width, frame.height
                context.colorspace, context.color_range = frame.colorspace, frame.color_range
            frame.pts, frame.time_base = frames, context.time_base
            container.mux(stream.encode(frame))
            frames += 1

        yield encode
        container.mux(stream.encode())


def _checked(
    copy: Path, recipe: CopyRecipe, originals: dict[int, np.ndarray], samples: set[int], expected_frames: int
) -> CopyInfo:
    """Decode the copy whole. Raises _Unfaithful or VideoError if it is not the source, frame for frame."""
    found = check_video(copy)
    if found.frames != expected_frames:
        raise _Unfaithful(f"has {found.frames} frames instead of {expected_frames}")
    clock = FrameClock(0, 1) if found.frames == 1 else found.clock  # one frame shows no step
    if clock is None or clock.first_pts != 0:
        raise _Unfaithful("has irregular time stamps")
    psnr_db, least_db = [], LEAST_PSNR_DB - max(0, recipe.crf - LEAST_PSNR_CRF)
    for number, frame in enumerate(decoded_frames(copy)):
        if frame.key_frame != (number % GOP == 0):
            raise _Unfaithful(f"has its key frames elsewhere than every {GOP} frames")
        if number in samples:
            psnr_db.append(_psnr_db(_luma(frame), originals[number]))
            if psnr_db[-1] < least_db:
                raise _Unfaithful(
                    f"has a PSNR of only {psnr_db[-1]:.1f} dB in frame {number}, which a lower crf would raise"
                )
        if number in _key_frames(samples):
            _refuse_neighbour(number, _luma(frame), originals)
    content = copy.read_bytes()
    if not (written := re.search(rb"x264 - core (\d+)", content)):
        raise _Unfaithful("names no encoder")
    return CopyInfo(
        frames=found.frames,
        width=found.width,
        height=found.height,
        clock=clock,
        bytes=len(content),
        sha256=sha256_bytes(content),
        psnr_db=tuple(psnr_db),
        encoder=f"x264 core {written[1].decode()}",
    )


def _psnr_db(luma: np.ndarray, original: np.ndarray) -> float:
    """PSNR-Y of a copied frame. Raises _Unfaithful if it has another size."""
    if luma.shape != original.shape:
        raise _Unfaithful("has another frame size than its source")
    return min(MOST_PSNR_DB, float(10 * np.log10(255**2 / max(_squared_error(luma, original), 1e-9))))


def _refuse_neighbour(number: int, luma: np.ndarray, originals: dict[int, np.ndarray]) -> None:
    """Raise _Unfaithful if a copied key frame is rather the source's frame before or after."""
    error = _squared_error(luma, originals[number])
    for neighbour in (number - 1, number + 1):
        if neighbour in originals:
            allowed = NEIGHBOUR_MARGIN * _squared_error(luma, originals[neighbour]) + NEIGHBOUR_SLACK
            if error > allowed:
                raise _Unfaithful(f"shows frame {neighbour} as frame {number}")


def _squared_error(luma: np.ndarray, other: np.ndarray) -> float:
    """Mean over pixels, in squared grey levels."""
    return float(np.mean((luma.astype(np.float32) - other) ** 2))
