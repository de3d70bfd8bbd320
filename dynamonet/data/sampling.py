"""Which frames and in which order: pure functions of their arguments.

Every random draw comes from `generator(seed, epoch, video id, purpose)`, so neither the number of workers
nor a restart changes it.
"""

import hashlib
from typing import Literal

import numpy as np


def key_digest(*keys: object) -> bytes:
    """32 bytes that depend on the text of the keys alone: what every draw and order is derived from."""
    return hashlib.sha256("\x1f".join(str(key) for key in keys).encode()).digest()


def generator(*keys: object) -> np.random.Generator:
    """A generator seeded by the text of its keys, the same on every machine."""
    return np.random.Generator(np.random.PCG64(int.from_bytes(key_digest(*keys))))


def span(frames: int, stride: int) -> int:
    """Video frames from a clip's first to its last frame, both included."""
    return (frames - 1) * stride + 1


ShortVideos = Literal["loop", "pad"]
"""What a clip holds beyond the end of a video that is shorter: its frames from the first again, as LoopPadding of
3D-ResNets, or its last frame again and again, as `temporal_sampling` of PySlowFast."""


def random_clip(
    video_frames: int, frames: int, stride: int, rng: np.random.Generator, short_videos: ShortVideos = "loop"
) -> np.ndarray:
    """Frame indices (frames,) of a clip that starts anywhere it fits."""
    start = rng.integers(0, max(0, video_frames - span(frames, stride)) + 1)
    return _within(video_frames, start + np.arange(frames) * stride, short_videos)


def uniform_clips(
    video_frames: int, frames: int, stride: int, clips: int, short_videos: ShortVideos = "loop"
) -> np.ndarray:
    """Frame indices (clips, frames) of clips that lie evenly over the video; a single one is the centre."""
    last_start = max(0, video_frames - span(frames, stride))
    starts = [last_start // 2] if clips == 1 else np.linspace(0, last_start, clips).round().astype(int)
    return _within(video_frames, np.add.outer(starts, np.arange(frames) * stride), short_videos)


def _within(video_frames: int, indices: np.ndarray, short_videos: ShortVideos) -> np.ndarray:
    return indices % video_frames if short_videos == "loop" else np.minimum(indices, video_frames - 1)


def epoch_order(n: int, seed: int, epoch: int) -> np.ndarray:
    """A permutation (n,) of the rows."""
    return generator(seed, epoch, "order").permutation(n)
