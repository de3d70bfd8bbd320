"""Finds models by name: one file each in `baselines/`, DynamoNet and its variants. Free of torch."""

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import baselines
from dynamonet.errors import UserError
from dynamonet.models.card import ModelCard
from dynamonet.models.release import Release

BASELINES = Path(baselines.__file__).parent
OWN = {name: f"dynamonet.models.{name}" for name in ("dynamonet", "two_stream_raft", "two_stream_stored")}


def model_names() -> list[str]:
    """Every model a study may name: DynamoNet and its variants, and one per file in `baselines/`."""
    found = sorted(path.stem for path in BASELINES.glob("*.py") if not path.stem.startswith("_"))
    return [*OWN, *(name for name in found if name not in OWN)]


def model_module(name: str) -> ModuleType:
    """The module that describes and builds model `name`.

    Raises UserError if there is none, if it does not import, or if it lacks `CARD` or `build`.
    """
    if name not in model_names():
        raise UserError(f"there is no model {name!r}: known are {', '.join(model_names())} (add baselines/{name}.py)")
    try:
        module = importlib.import_module(OWN.get(name, f"baselines.{name}"))
    except Exception as error:
        raise UserError(f"baselines/{name}.py does not import: {type(error).__name__}: {error}") from error
    if not isinstance(getattr(module, "CARD", None), ModelCard):
        raise UserError(f"baselines/{name}.py has no CARD = ModelCard(...)")
    if not callable(getattr(module, "build", None)):
        raise UserError(f"baselines/{name}.py has no function build(num_classes, ...)")
    return module


def default_options(name: str) -> dict:
    """The options that `build` of model `name` takes, with their defaults."""
    parameters = inspect.signature(model_module(name).build).parameters.values()
    return {p.name: p.default for p in parameters if p.name not in ("num_classes", "clip")}


def release_of(name: str, release_format: str) -> Release:
    """How model `name` takes checkpoints of this format. Raises UserError if it does not."""
    releases = getattr(model_module(name), "RELEASES", {})
    if release_format not in releases:
        raise UserError(
            f"model {name!r} takes no checkpoint of format {release_format!r}: it takes {', '.join(releases) or 'none'}"
        )
    return releases[release_format]


def with_options_of(other: Callable) -> Callable[[Callable], Callable]:
    """Decorates a `build(num_classes, clip, ..., **options)` that hands its options on to the `build` of another model.

    They then count as its own, with the defaults they have there.
    """

    def decorated(build: Callable) -> Callable:
        signature = inspect.signature(build)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        names = {p.name for p in own}
        handed_on = [p for p in inspect.signature(other).parameters.values() if p.name not in names]
        build.__signature__ = signature.replace(parameters=[*own, *handed_on])
        return build

    return decorated


def check_options(name: str, options: dict) -> None:
    """Refuse options that `build` of model `name` does not take, or of another type than their default.

    Raises UserError naming the option.
    """
    defaults = default_options(name)
    for option, value in options.items():
        if option not in defaults:
            raise UserError(f"model {name!r} has no option {option!r}: it takes {', '.join(defaults) or 'none'}")
        wanted = type(defaults[option])
        if type(value) is not wanted and not (wanted is float and type(value) is int):
            raise UserError(f"model {name!r}: option {option} is {value!r}, which is not of type {wanted.__name__}")
