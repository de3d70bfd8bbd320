"""The embedded motion set: videos whose class is how they move, and of which no single frame tells the class.

A texture is a sum of plane waves with random directions and phases. Every class moves the same kind of
texture, and each moving quantity is stationary: its distribution at any one frame is that of all classes.

- Position: phases are uniform, so a translated texture is as likely as the original.
- Rotation: the angle is uniform at the first frame, and therefore at every frame.
- Shear: the shearing class oscillates; the others hold a shear drawn from the same oscillation.
- Scale: log frequencies are uniform over a period and wrap around where their weight is zero, as in
  Shepard's endless scale, so a zoom can go on for ever and leaves no trace in a frame.

Rendering is in double precision, so that processors which round differently still agree on the 8-bit pixels.
"""

import math
from statistics import NormalDist

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from dynamonet.data.sampling import generator

IDENTITY = "motion.json"
"""Lies in the root of a set and says which one it is: written first, and kept."""

CLASSES = (
    "moving left",
    "moving right",
    "moving up",
    "moving down",
    "rotating clockwise",
    "rotating anticlockwise",
    "zooming in",
    "zooming out",
    "oscillating horizontally",
    "oscillating vertically",
    "shearing",
    "swinging",
)

WAVES = 48
OCTAVES = 4.0
LOWEST_FREQUENCY = 1 / 80
"""Cycles per pixel; with OCTAVES it keeps every wave longer than five pixels."""
SHEAR_AMPLITUDE = 0.4
EDGE_SHARPNESS = 6.0


class MotionConfig(BaseModel):
    """The embedded motion set: how hard it is and how many videos it holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(0, description="Seed of every draw; another seed is another data set.")
    difficulty: float = Field(
        0.3, ge=0, le=1, description="Camera jitter, sensor noise and area of the distractor; 0 is clean."
    )
    frames: int = Field(36, ge=2, description="Frames per video.")
    width: int = Field(80, ge=16, multiple_of=2, description="Frame width in pixels.")
    height: int = Field(64, ge=16, multiple_of=2, description="Frame height in pixels.")
    fps: int = Field(25, ge=1, description="Frames per second.")
    kinetics_train_per_class: int = Field(20, ge=1, description="Training videos per class, Kinetics layout.")
    kinetics_val_per_class: int = Field(5, ge=1, description="Validation videos per class, Kinetics layout.")
    ucf_groups: int = Field(25, ge=3, description="Groups per class in the UCF101 layout; a split tests on 7 of 25.")
    ucf_clips_per_group: int = Field(2, ge=1, description="Videos per group, which share an appearance.")
    hmdb_train_per_class: int = Field(14, ge=1, description="Training videos per class and split, HMDB51.")
    hmdb_test_per_class: int = Field(6, ge=1, description="Test videos per class and split, HMDB51.")
    hmdb_unused_per_class: int = Field(2, ge=0, description="Videos per class a split leaves out, HMDB51.")
    pool_videos: int = Field(100, ge=1, description="Unlabelled videos for pretraining.")


class Texture:
    """Scalar fields of unit variance on the infinite plane, to be looked at through any affine map."""

    def __init__(self, fields: int, rng: np.random.Generator):
        self.octave = (np.arange(WAVES) + rng.random()) / WAVES * OCTAVES
        self.direction = rng.random(WAVES) * 2 * math.pi
        self.phase = rng.random((fields, WAVES)) * 2 * math.pi

    def seen(self, linear: np.ndarray, offset: np.ndarray, zoom: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Return (T, fields, H, W): the fields at `linear @ (pixel + offset)`, enlarged by 2 ** `zoom`.

        `linear` (T, 2, 2), `offset` (T, 2) in pixels from the frame's centre, `zoom` (T,) in octaves.
        """
        height, width = size
        octave = (self.octave - zoom[:, None]) % OCTAVES  # (T, K)
        weight = np.sin(math.pi * octave / OCTAVES) ** 2 * math.sqrt(16 / 3 / WAVES)
        wave = 2 * math.pi * LOWEST_FREQUENCY * 2**octave
        towards = np.stack([np.cos(self.direction), np.sin(self.direction)])  # (2, K)
        # (T, K) each: the frequencies as they appear in the frame.
        wave_x, wave_y = np.moveaxis(wave[:, None] * (linear.transpose(0, 2, 1) @ towards), 1, 0)
        # A plane wave is a wave across times a wave down: the sum is one matrix product per frame.
        across = _unit_waves(wave_x, offset[:, :1] - (width - 1) / 2, width)[:, None]  # (T, 1, K, W)
        down = _unit_waves(wave_y, offset[:, 1:] - (height - 1) / 2, height) * weight[:, :, None]  # (T, K, H)
        phased = across * np.exp(1j * self.phase)[:, :, None]  # (T, F, K, W)
        # The real part of a complex product, in real numbers.
        right = np.concatenate([phased.real, -phased.imag], axis=2)
        left = np.concatenate([down.real, down.imag], axis=1)
        return left.transpose(0, 2, 1)[:, None] @ right


def _unit_waves(frequency: np.ndarray, start: np.ndarray, length: int) -> np.ndarray:
    """exp(i * frequency * (start + n)) for n < length: (T, K), (T, 1) -> (T, K, length)."""
    # The product of coarse and fine steps saves most of the exponentials.
    coarse = np.exp(1j * frequency[:, :, None] * (start[:, None] + np.arange(0, length, 8)))
    fine = np.exp(1j * frequency[:, :, None] * np.arange(8))
    steps = coarse[..., None] * fine[:, :, None]
    return steps.reshape(*frequency.shape, -1)[:, :, :length]


def render(class_name: str, config: MotionConfig, appearance: tuple, movement: tuple) -> np.ndarray:
    """Return uint8 RGB (T, H, W, 3). `appearance` and `movement` are the keys of the two kinds of draws."""
    look = generator(config.seed, *appearance, "appearance")
    move = generator(config.seed, *movement, "movement")
    size, difficulty = (config.height, config.width), config.difficulty
    linear, offset, zoom = _trajectory(class_name, config.frames, look, move)
    camera = np.cumsum(move.normal(0, difficulty, (config.frames, 2)), axis=0)
    scene = Texture(3, look).seen(linear, offset + camera, zoom, size)
    video = _coloured(scene, look)
    if difficulty > 0:
        share = 0.4 * difficulty
        drift = np.arange(config.frames)[:, None] * move.uniform(-2, 2, 2)
        still = np.broadcast_to(np.eye(2), (config.frames, 2, 2))
        intruder = Texture(3, look).seen(still, drift + camera, np.zeros(config.frames), size)
        mask = _mask(intruder[:, 2], NormalDist().inv_cdf(1 - share))
        video += mask[..., None] * (_coloured(intruder, look) - video)
        video += move.standard_normal(video.shape, dtype=np.float32) * (0.04 * difficulty)
    return (video.clip(0, 1) * 255).round().astype(np.uint8)


def _trajectory(
    class_name: str, frames: int, look: np.random.Generator, move: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Linear map (T, 2, 2), offset (T, 2) in pixels and zoom (T,) in octaves of one video.

    Every quantity is drawn for every class, so that the draws that follow do not depend on the class.
    """
    time = np.arange(frames)
    angle_at_start = look.uniform(0, 2 * math.pi)
    travel = move.uniform(0.5, 2) * time
    turn = math.radians(move.uniform(1.5, 5)) * time
    growth = math.log2(move.uniform(1.01, 1.04)) * time
    amplitude, sway = move.uniform(3, 8), math.radians(move.uniform(8, 20))
    cycle = np.sin(2 * math.pi * (time / move.uniform(8, 16) + move.random()))
    held_shear = SHEAR_AMPLITUDE * math.sin(look.uniform(0, 2 * math.pi))

    # The map takes pixels to the texture: the texture moves the other way than the coordinates.
    horizontal = {
        "moving left": travel,
        "moving right": -travel,
        "oscillating horizontally": amplitude * cycle,
    }
    vertical = {"moving up": travel, "moving down": -travel, "oscillating vertically": amplitude * cycle}
    # With y pointing down, a growing angle of the coordinates turns the picture anticlockwise.
    rotation = {"rotating clockwise": -turn, "rotating anticlockwise": turn, "swinging": sway * cycle}
    growing = {"zooming in": growth, "zooming out": -growth}
    still = np.zeros(frames)
    angle = angle_at_start + rotation.get(class_name, still)
    shear = SHEAR_AMPLITUDE * cycle if class_name == "shearing" else still + held_shear
    turned = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], -1).reshape(frames, 2, 2)
    sheared = np.stack([still + 1, shear, still, still + 1], -1).reshape(frames, 2, 2)
    offset = np.stack([horizontal.get(class_name, still), vertical.get(class_name, still)], -1)
    return sheared @ turned, offset, growing.get(class_name, still)


def _mask(field: np.ndarray, threshold: float) -> np.ndarray:
    """A soft-edged mask in [0, 1] of where a field of unit variance is above the threshold."""
    return 0.5 + 0.5 * np.tanh(EDGE_SHARPNESS * (field - threshold))


def _coloured(fields: np.ndarray, look: np.random.Generator) -> np.ndarray:
    """Paint (T, 3, H, W) fields as RGB (T, H, W, 3), 1 is white: two textures, cut along the third field."""
    ground, figure = (
        np.concatenate([look.uniform(0.25, 0.75, (1, 3)), look.normal(0, 0.12, (2, 3))]) for _ in range(2)
    )
    mask = _mask(fields[:, 2], 0.0)
    one, two = np.moveaxis(fields[:, :2], 1, 0)
    # A linear mix of five products is the same picture as painting twice and blending, and cheaper.
    parts = np.stack([one, two, mask, mask * one, mask * two], -1)
    mix = np.concatenate([ground[1:], figure - ground])
    return parts @ mix + ground[0]
