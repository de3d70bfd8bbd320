"""What the harness must know of a model before it is built. Free of torch."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

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
    short_videos: Literal["loop", "pad"] = Field(
        default="loop",
        description="a video shorter than the clip starts again (3D-ResNets) or holds its last frame (PySlowFast)",
    )


class Views(Frozen):
    """The views of a video that evaluation averages: `clips` in time times `crops` in space."""

    clips: int = Field(default=1, ge=1)
    crops: Literal[1, 3] = 1
    crop: int | None = Field(
        default=None, ge=16, description="side of the crops in pixels, where it is another than the clip's"
    )
    short_side: int | None = Field(
        default=None, ge=16, description="pixels that the short side is scaled to before the crops; None: their side"
    )
    frame: tuple[Annotated[int, Field(ge=16)], Annotated[int, Field(ge=16)]] | None = Field(
        default=None, description="height and width that frames are scaled to instead, whatever their aspect"
    )
    horizon: int = Field(default=1, ge=1, description="frames after each clip that models which predict are scored on")

    @model_validator(mode="after")
    def _scales_once(self):
        if self.frame is not None and self.short_side is not None:
            raise ValueError("short_side and frame both say how large frames are: leave one out")
        return self

    def least_side(self, crop: int) -> int:
        """Pixels that the short side of a video must have for its views not to be enlarged; crop: the clip's."""
        return min(self.frame) if self.frame else self.short_side or self.crop or crop


class PublishedValue(Frozen):
    """A number somebody printed, and where."""

    metric: Literal["top1_percent", "top5_percent", "gmacs_per_clip", "parameters_m"]
    value: float
    dataset: str | None = None
    counting: Literal["products", "fvcore", "training_norms"] | None = Field(
        default=None, description="for gmacs_per_clip: which of the counts of measure/cost.py this figure is"
    )
    input: Clip | None = Field(
        default=None, description="for gmacs_per_clip: the clip that was counted; None: the card's published_input"
    )
    source: str


class ReleasedFile(Frozen):
    """Weights that a model's authors released, trained on Kinetics-400 unless the card says otherwise."""

    url: str
    format: str = Field(description="key of the module's RELEASES")
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$", description="of the file, where it is published")
    sha256_prefix: str | None = Field(default=None, pattern="^[0-9a-f]{8,63}$", description="its first digits, if not")


class ModelCard(Frozen):
    """Description of one model, independent of any study."""

    title: str = Field(min_length=1, description="name in tables and figures")
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
    views: Views | None = Field(default=None, description="the views of the published accuracy")
    recipe_overrides: dict[str, Any] = Field(
        default={}, description="published settings of training, by the names that a recipe has for them"
    )
    released: ReleasedFile | None = None
    source: str = Field(description="where the implementation comes from")

    @property
    def channels(self) -> int:
        """C, channels of the clip."""
        return COLOURS + 2 if self.stored_flow else COLOURS

    @property
    def published_input(self) -> Clip:
        """The clip of the published accuracy: `clip`, with the crop of the published views."""
        crop = self.views.crop if self.views else None
        return self.clip.model_copy(update={"crop": crop or self.clip.crop})

    @model_validator(mode="after")
    def _normalises_every_channel(self):
        for name, values in {"mean": self.mean, "std": self.std}.items():
            if self.mean is not None and len(values) != self.channels:
                raise ValueError(
                    f"{name} has {len(values)} values, and the clip {self.channels} channels: give one for each, or "
                    "mean None if the network normalises itself"
                )
        return self

    @field_validator("recipe_overrides")
    @classmethod
    def _overrides_a_recipe(cls, overrides: dict[str, Any]) -> dict[str, Any]:
        from dynamonet.recipe import Recipe  # which imports this module

        # The least that a recipe must say, so that what remains to be checked is the overrides.
        Recipe(**{"steps": 10**9, "batch_size": 2, "learning_rate": 1.0, **overrides})
        return overrides
