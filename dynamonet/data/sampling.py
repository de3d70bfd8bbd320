"""Which frames and in which order: pure functions of their arguments.

Every random draw comes from `generator(seed, epoch, video id, purpose)`, so neither the number of workers
nor a restart changes it.
"""

import hashlib

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


def random_clip(video_frames: int, frames: int, stride: int, rng: np.random.Generator) -> np.ndarray:
    """Frame indices (frames,) of a clip that starts anywhere it fits; a shorter video is looped."""
    start = rng.integers(0, max(0, video_frames - span(frames, stride)) + 1)
    return _looped(video_frames, frames, stride, start)


def uniform_clips(video_frames: int, frames: int, stride: int, clips: int) -> list[np.ndarray]:
    """Frame indices (frames,) of each of `clips` clips, evenly over the video; a single one is the centre."""
    last_start = max(0, video_frames - span(frames, stride))
    starts = [last_start // 2] if clips == 1 else np.linspace(0, last_start, clips).round().astype(int)
    return [_looped(video_frames, frames, stride, start) for start in starts]


def _looped(video_frames: int, frames: int, stride: int, start: int) -> np.ndarray:
    # Short videos start again from their first frame, as in 3D-ResNets.
    return (start + np.arange(frames) * stride) % video_frames


def epoch_order(n: int, seed: int, epoch: int) -> np.ndarray:
    """A permutation (n,) of the rows."""
    return generator(seed, epoch, "order").permutation(n)
