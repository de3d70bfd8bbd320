"""How a run is trained: one frozen description, part of the run's identity. Free of torch."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dynamonet.models.card import Frozen

ALL, HEAD = "all", "head"


class Execution(Frozen):
    """How a network is run, whatever it is run for."""

    deterministic: bool = Field(
        default=True, description="bit-identical from run to run, on GPUs at some cost of speed"
    )
    precision: Literal["fp32", "tf32", "bf16", "fp16"] = Field(
        default="fp32", description="of products; bf16 and fp16 by autocast, fp16 with scaled gradients"
    )
    channels_last: bool = Field(default=False, description="channels-last memory format")
    compile: bool = Field(default=False, description="torch.compile")
    gradient_checkpointing: bool = Field(
        default=False,
        description="recompute each block's activations in the backward pass: less memory, a third slower",
    )


class Recipe(Execution):
    """How a run is trained. A step is one optimiser update on one batch of clips."""

    steps: int = Field(ge=1, description="optimiser updates")
    batch_size: int = Field(ge=2, description="clips per update, over all processes and accumulated parts")
    accumulation: int = Field(default=1, ge=1, description="parts a process splits its share of a batch into")

    optimiser: Literal["adamw", "sgd"] = Field(default="adamw", description="sgd: Nesterov momentum of 0.9")
    learning_rate: float = Field(gt=0, description="peak of the schedule")
    weight_decay: float = Field(default=0.01, ge=0)
    decay_all: bool = Field(default=True, description="weight decay on biases and normalisation layers too")
    gradient_clip: float | None = Field(default=None, gt=0, description="largest norm of the gradient, None for none")
    ema_decay: float | None = Field(
        default=None, gt=0, lt=1, description="the final weights are an exponential moving average; None: the last ones"
    )

    schedule: Literal["cosine", "step", "plateau", "constant"] = "cosine"
    warmup_steps: int = Field(default=0, ge=0, description="linear warm-up of the learning rate")
    decay_steps: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(), description="schedule step: the steps at which the rate is multiplied by decay_factor"
    )
    decay_factor: float = Field(default=0.1, gt=0, lt=1, description="of the schedules step and plateau")
    plateau_steps: int = Field(
        default=1000, ge=1, description="schedule plateau: steps over which the training loss is averaged"
    )
    plateau_patience: int = Field(
        default=10, ge=0, description="schedule plateau: averages without a new best before one that lowers the rate"
    )

    trainable: tuple[str, ...] = Field(
        default=(ALL,),
        min_length=1,
        description=f"what is trained: {ALL!r}, {HEAD!r} (the classifier: a linear probe), or names of parts",
    )
    learning_rate_multipliers: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default={}, description=f"part of the network, or {HEAD!r} -> factor on its learning rate"
    )

    prediction_weight: float = Field(
        default=1.0, ge=0, description="λ: weight of frame prediction, for models that predict"
    )
    prediction_warmup_steps: int = Field(default=0, ge=0, description="linear warm-up of λ")
    prediction_loss: Literal["smooth_l1", "l1", "l2", "gradient_difference"] = Field(
        default="smooth_l1", description="divided by the loss of copying the last frame, so that 1 means no better"
    )
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)

    crop: Literal["random", "corners", "resized", "jitter"] = Field(
        default="random",
        description="the training crop: a square anywhere; one in a corner or the centre (3D-ResNets); a box of any "
        "area and aspect (Inception, MViT); a square after the short side is scaled to a random size (SlowFast)",
    )
    crop_scales: tuple[float, ...] = Field(
        default=(1.0,), min_length=1, description="crop random and corners: its sides, as fractions of the short side"
    )
    crop_area: tuple[float, float] = Field(
        default=(0.08, 1.0), description="crop resized: least and largest area, as fractions of the frame's"
    )
    crop_aspect: tuple[float, float] = Field(
        default=(0.75, 1.3333), description="crop resized: least and largest width / height"
    )
    crop_short_side: tuple[int, int] = Field(
        default=(256, 320), description="crop jitter: least and largest size of the short side, in pixels"
    )
    flip: bool = Field(default=False, description="random horizontal flips")
    flip_except: tuple[str, ...] = Field(
        default=(), description="classes that are never flipped, because they name a direction"
    )
    mixup: float = Field(default=0.0, ge=0, description="α of mixup, 0 for none; with cutmix, each has half the steps")
    cutmix: float = Field(default=0.0, ge=0, description="α of cutmix, 0 for none")

    sync_batch_norm: bool = Field(default=True, description="statistics over all processes, where they are on GPUs")

    log_every: int = Field(default=10, ge=1, description="steps between lines of log.jsonl")
    checkpoint_every: int = Field(default=50, ge=1, description="steps between checkpoints")

    @model_validator(mode="after")
    def _is_possible(self):
        if not all(0 < scale <= 1 for scale in self.crop_scales):
            raise ValueError("crop_scales must lie in (0, 1]")
        for key in ("crop_area", "crop_aspect", "crop_short_side"):
            least, largest = getattr(self, key)
            if not 0 < least <= largest:
                raise ValueError(f"{key} must be a least value above 0 and a largest, unlike {[least, largest]}")
        if self.crop_area[1] > 1:
            raise ValueError("crop_area must lie in (0, 1]")
        if self.flip_except and not self.flip:
            raise ValueError("flip_except has no effect without flip: leave it out")
        if self.batch_size % self.accumulation:
            raise ValueError(f"a batch_size of {self.batch_size} has no {self.accumulation} equal parts (accumulation)")
        if (self.schedule == "step") != bool(self.decay_steps):
            raise ValueError("decay_steps belong to the schedule step, and it needs them")
        for key, choice, values in (
            ("decay_factor", "schedule", ("step", "plateau")),
            ("plateau_steps", "schedule", ("plateau",)),
            ("plateau_patience", "schedule", ("plateau",)),
            ("crop_scales", "crop", ("random", "corners")),
            ("crop_area", "crop", ("resized",)),
            ("crop_aspect", "crop", ("resized",)),
            ("crop_short_side", "crop", ("jitter",)),
        ):
            chosen = getattr(self, choice)
            if chosen not in values and getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key} has no effect on the {choice} {chosen}: leave it out")
        if list(self.decay_steps) != sorted(set(self.decay_steps)):
            raise ValueError(f"decay_steps must rise, unlike {list(self.decay_steps)}")
        if self.decay_steps and not self.warmup_steps <= self.decay_steps[0] <= self.decay_steps[-1] < self.steps:
            raise ValueError(f"decay_steps must lie from warmup_steps to below steps, unlike {list(self.decay_steps)}")
        if max(self.warmup_steps, self.prediction_warmup_steps) > self.steps:
            raise ValueError(f"a warm-up of more than all {self.steps} steps never ends")
        if len(set(self.trainable)) < len(self.trainable):
            raise ValueError(f"trainable names a part twice: {list(self.trainable)}")
        if ALL in self.trainable and len(self.trainable) > 1:
            raise ValueError(f"trainable: {ALL!r} leaves nothing to be named beside it")
        return self
