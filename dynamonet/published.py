"""Numbers that others published, and which results of a study may stand beside them. Free of torch.

Those of the model zoos are on the models' cards; all others are in `config/claims.yaml`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from dynamonet.code_files import PROJECT
from dynamonet.errors import UserError
from dynamonet.models.card import Clip, Frozen, ModelCard, PublishedValue, Views
from dynamonet.models.catalogue import default_options, model_module, model_names
from dynamonet.spec import first_problem

LEDGER = PROJECT / "config/claims.yaml"

Metric = Literal[
    "top1_percent",
    "top5_percent",
    "mean_class_accuracy_percent",
    "top1_top5_mean_percent",
    "pooled_r1_percent",
    "pooled_r5_percent",
    "pooled_r10_percent",
    "pooled_r20_percent",
    "gmacs_per_clip",
    "parameters_m",
]
COSTS = ("gmacs_per_clip", "parameters_m")
"""Of a network alone; all others are of its runs on a data set."""
Start = Literal["scratch", "released", "kinetics400", "pretrained"]


class Network(Frozen):
    """The network that a number is about, as this project builds it. What is left out was not stated."""

    build: str = Field(description="name in the catalogue")
    options: dict[str, Any] = Field(default={}, description="those that are not the default")
    frames: int | None = Field(default=None, ge=1)
    stride: int | None = Field(default=None, ge=1)
    crop: int | None = Field(default=None, ge=16, description="of the test crops, or of the clip that was counted")
    clips: int | None = Field(default=None, ge=1, description="test views in time")
    crops: int | None = Field(default=None, ge=1, description="test views in space")


class PublishedNumber(Frozen):
    """One number that somebody printed: what it is, where it stands, and what of ours is compared with it."""

    what: str = Field(description="the model as its source calls it")
    metric: Metric
    value: float | None = Field(description="null: nobody has verified it; fill it in once you have the paper")
    source: str
    protocol: str = Field(description="how it was obtained, in words, as far as the source says")
    tolerance: float | None = Field(
        default=None, gt=0, description="None: that of the metric; points of an accuracy, % of a cost"
    )
    network: Network
    dataset: str | None = Field(default=None, description="layout; of a cost, the one whose number of classes it has")
    splits: tuple[int, ...] | None = Field(default=None, description="whose mean it is; None: not stated, or only one")
    start: tuple[Start, ...] = Field(
        default=("scratch", "released"),
        description="kinetics400: fine-tuned from weights trained there, as released weights were; pretrained: from "
        "weights that frame prediction alone has trained",
    )
    incomparable: str | None = Field(default=None, description="why nothing of ours can be held against it, if so")
    counting: Literal["products", "fvcore", "training_norms"] | None = None

    @model_validator(mode="after")
    def _says_of_which_data(self):
        if self.metric not in COSTS and self.dataset is None:
            raise ValueError("an accuracy is of a data set: name its layout as dataset")
        if (self.metric == "gmacs_per_clip") != (self.counting is not None):
            raise ValueError("counting says how gmacs_per_clip were counted: give it there and there alone")
        return self


class Ledger(Frozen):
    tolerances: dict[Metric, float] = Field(description="points of an accuracy, % of a cost")
    published: dict[str, PublishedNumber]

    @model_validator(mode="after")
    def _has_every_tolerance(self):
        for name, number in self.published.items():
            if number.tolerance is None and number.metric not in self.tolerances:
                raise ValueError(f"published.{name} has no tolerance, nor have its metric's in tolerances")
        return self

    def tolerance(self, number: PublishedNumber) -> float:
        """In points of an accuracy; of a cost, in its own unit."""
        given = number.tolerance or self.tolerances[number.metric]
        return given * abs(number.value or 0) / 100 if number.metric in COSTS else given


def read_ledger(path: Path = LEDGER) -> Ledger:
    """The numbers of the file and of every card, by id.

    Raises UserError naming the file, and the first key that is wrong.
    """
    try:
        content = yaml.safe_load(Path(path).read_text())
    except OSError as error:
        raise UserError(f"cannot read the published numbers {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not YAML: {str(error).splitlines()[0]}") from error
    try:
        ledger = Ledger.model_validate(content)
        of_cards = dict(_of_cards())
        if twice := sorted(set(of_cards) & set(ledger.published)):
            raise UserError(f"{path}: published.{twice[0]} is on the card of its model too: give it another id")
        _check_networks(path, ledger)
        return Ledger(tolerances=ledger.tolerances, published={**of_cards, **ledger.published})
    except ValidationError as error:
        raise UserError(f"{path}: {first_problem(error)}") from error


def differing_options(build: str, options: dict[str, Any], published: dict[str, Any]) -> list[str]:
    """What the network with `options` has otherwise than the published one: 'width 8 (published: 64)'."""
    if build not in model_names():
        return [f"{build} is no model of this project"]
    defaults = default_options(build)
    ours, theirs = {**defaults, **options}, {**defaults, **published}
    return [
        f"{key} {ours[key]} (published: {theirs[key]})" for key in defaults if _plain(ours, key) != _plain(theirs, key)
    ]


def _plain(options: dict[str, Any], key: str) -> Any:
    return list(options[key]) if isinstance(options[key], tuple) else options[key]


def _check_networks(path: Path, ledger: Ledger) -> None:
    for name, number in ledger.published.items():
        where, network = f"{path}: published.{name}.network", number.network
        if network.build not in model_names():
            raise UserError(f"{where}.build: there is no model {network.build!r}: known are {', '.join(model_names())}")
        if unknown := sorted(set(network.options) - set(default_options(network.build))):
            raise UserError(f"{where}.options: {network.build} has no option {unknown[0]!r}")


def _of_cards() -> Iterator[tuple[str, PublishedNumber]]:
    for build in model_names():
        try:
            card = model_module(build).CARD
        except UserError:  # a broken file breaks nothing but itself; a study that takes it says so
            continue
        for value in card.published:
            yield f"{build}.{value.metric}", _of_card(build, card, value)


def _of_card(build: str, card: ModelCard, value: PublishedValue) -> PublishedNumber:
    cost = value.metric in COSTS
    clip, views = value.input or card.published_input, card.views or Views()
    seen = {"frames": clip.frames, "stride": clip.stride, "crop": clip.crop}
    if value.metric == "parameters_m":
        protocol, network = "parameters", Network(build=build)
    elif cost:
        protocol, network = f"one clip of {_input(clip)}", Network(build=build, **seen)
    else:
        network = Network(build=build, **seen, clips=views.clips, crops=views.crops)
        protocol = f"{views.clips} × {views.crops} views of {_input(clip)}"
    return PublishedNumber(
        what=card.title,
        metric=value.metric,
        value=value.value,
        source=value.source,
        protocol=protocol,
        network=network,
        dataset=value.dataset,
        counting=(value.counting or "fvcore") if value.metric == "gmacs_per_clip" else None,
    )


def _input(clip: Clip) -> str:
    return f"{clip.frames} × {clip.stride} × {clip.crop} px"
