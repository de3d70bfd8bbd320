"""What the harness must know of a model before it is built. Free of torch."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

KINETICS_MEAN = (0.45, 0.45, 0.45)
KINETICS_STD = (0.225, 0.225, 0.225)
COLOURS = 3
"""Channels of a clip that are colours, red first; stored flow, where a model takes it, follows as two more."""
FLOW_ZERO, FLOW_STEPS = 128, 127
"""Flow as a channel of a clip, uint8: the value of no motion, and the steps above and below it."""
FLOW_BOUND, FLOW_SIDE = 20.0, 256
"""The motion of `FLOW_STEPS` steps, in pixels of a frame whose shorter side has so many pixels."""


class Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Clip(Frozen):
    """The clip a model wants: `frames` frames, every `stride`-th of the video, cropped to a square."""

    frames: int = Field(ge=1, description="T, frames per clip")
    stride: int = Field(default=1, ge=1, description="step between frames, in frames of the video")
    crop: int = Field(ge=16, description="height and width in pixels")


class PublishedValue(Frozen):
    """A number somebody printed, and where."""

    metric: Literal["top1_percent", "top5_percent", "gmacs_per_clip", "parameters_m"]
    value: float
    dataset: str | None = None
    source: str


class ModelCard(Frozen):
    """Description of one model, independent of any study."""

    title: str = Field(description="name in tables and figures")
    clip: Clip = Field(description="the published clip; a study may ask for a smaller one")
    extra_frames: int = Field(
        default=0, ge=0, le=1, description="frames read after the clip: 1 if the last prediction needs its target"
    )
    mean: tuple[float, ...] | None = Field(
        default=KINETICS_MEAN, description="per-channel mean in [0, 1]; None: the network normalises itself"
    )
    std: tuple[float, ...] = KINETICS_STD
    stored_flow: bool = Field(
        default=False, description="the clip's channels are red, green, blue and stored flow, right and down"
    )
    published: tuple[PublishedValue, ...] = ()
    source: str = Field(description="where the implementation comes from")

    @property
    def channels(self) -> int:
        """C, channels of the clip."""
        return COLOURS + 2 if self.stored_flow else COLOURS

    @model_validator(mode="after")
    def _normalises_every_channel(self):
        for name, values in {"mean": self.mean, "std": self.std}.items():
            if self.mean is not None and len(values) != self.channels:
                raise ValueError(
                    f"{name} has {len(values)} values, and the clip {self.channels} channels: give one for each, or "
                    "mean None if the network normalises itself"
                )
        return self
