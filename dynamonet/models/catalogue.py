"""Finds models by name: one file each in `baselines/`, DynamoNet and its variants. Free of torch."""

import importlib
import inspect
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

from pydantic import ValidationError

import baselines
from dynamonet.errors import UserError
from dynamonet.models.card import Clip, ModelCard
from dynamonet.models.release import Release
from dynamonet.spec import first_problem

BASELINES = Path(baselines.__file__).parent
OWN = {name: f"dynamonet.models.{name}" for name in ("dynamonet", "two_stream_raft", "two_stream_stored")}


def model_names() -> list[str]:
    """Every model a study may name: DynamoNet and its variants, and one per file in `baselines/`."""
    found = sorted(path.stem for path in BASELINES.glob("*.py") if not path.stem.startswith("_"))
    return [*OWN, *(name for name in found if name not in OWN)]


def model_module(name: str) -> ModuleType:
    """The module that describes and builds model `name`.

    Raises UserError if there is none or two, if it does not import, if it lacks `CARD` or `build` or has them of
    another kind, if `build` does not take num_classes and clip, or if another parameter of it is no option with a
    default that a study file could hold.
    """
    if name not in model_names():
        raise UserError(f"there is no model {name!r}: known are {', '.join(model_names())} (add baselines/{name}.py)")
    file = model_file(name)
    if name in OWN and (BASELINES / f"{name}.py").exists():
        raise UserError(f"baselines/{name}.py has the name of the model in {file}: give it another")
    try:
        module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    except ValidationError as error:
        raise UserError(f"{file} does not import: {error.title}: {first_problem(error)}") from error
    except (Exception, SystemExit) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"{file} does not import: {reason}") from error
    if not isinstance(getattr(module, "CARD", None), ModelCard):
        raise UserError(f"{file} has no CARD = ModelCard(...)")
    if not inspect.isfunction(getattr(module, "build", None)):
        raise UserError(f"{file} has no function build(num_classes, clip, ...)")
    if lacking := {"num_classes", "clip"} - set(inspect.signature(module.build).parameters):
        raise UserError(f"{file}: build does not take {' and '.join(sorted(lacking))}: name them as parameters")
    if not inspect.isfunction(getattr(module, "check", _options)):
        raise UserError(f"{file}: check is no function check(clip, **options)")
    releases = getattr(module, "RELEASES", {})
    if not isinstance(releases, Mapping) or not all(isinstance(release, Release) for release in releases.values()):
        raise UserError(f"{file}: RELEASES is no mapping from formats of checkpoints to Release(...)")
    if module.CARD.released and module.CARD.released.format not in releases:
        raise UserError(
            f"{file}: its CARD names released weights of format {module.CARD.released.format}: add that to RELEASES"
        )
    for parameter in _options(module):
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise UserError(f"{file}: build takes {parameter}: name each option there, with its default")
        if parameter.default is parameter.empty or not _is_plain(parameter.default):
            raise UserError(
                f"{file}: parameter {parameter.name} of build is an option of the model: give it a default that a "
                "study file could hold"
            )
    return module


def model_file(name: str) -> str:
    """The file of model `name`, for messages: baselines/slow_r50.py."""
    return f"{OWN.get(name, f'baselines.{name}').replace('.', '/')}.py"


def default_options(name: str) -> dict:
    """The options that `build` of model `name` takes, with their defaults."""
    return {parameter.name: parameter.default for parameter in _options(model_module(name))}


def release_of(name: str, release_format: str) -> Release:
    """How model `name` takes checkpoints of this format. Raises UserError if it does not."""
    releases = getattr(model_module(name), "RELEASES", {})
    if release_format not in releases:
        raise UserError(
            f"model {name!r} takes no checkpoint of format {release_format!r}: it takes {', '.join(releases) or 'none'}"
        )
    return releases[release_format]


def check_release(name: str, release_format: str, options: dict) -> None:
    """Refuse options with which model `name` cannot start from checkpoints of this format.

    Raises UserError naming the option and the values it may have.
    """
    options = {**default_options(name), **options}
    for option, values in release_of(name, release_format).options.items():
        if options[option] not in values:
            raise UserError(
                f"option {option} is {options[option]!r}, and a checkpoint of format {release_format} was trained with "
                f"another: set it to {' or '.join(map(str, values))}"
            )


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


def check_options(name: str, options: dict, clip: Clip) -> dict:
    """Refuse options that `build` of model `name` does not take; returns the others as it takes them.

    An option has its default's type; where that is None it may be anything that a study file can hold. A list is
    given to `build` as a tuple where the default is one. What else there is to check, with this clip and before
    anything is built, the module's own `check(clip, **options)` does, if it has one: it gets all options and raises
    ValueError. Raises UserError naming the option, or the module's file if its check fails in another way.
    """
    defaults = default_options(name)
    accepted = {}
    for option, value in options.items():
        if option not in defaults:
            raise UserError(f"model {name!r} has no option {option!r}: it takes {', '.join(defaults) or 'none'}")
        default = defaults[option]
        accepted[option] = value = _as_tuple(value) if isinstance(default, tuple) else value
        wanted = type(default)
        if not _is_plain(value):
            raise UserError(f"model {name!r}: option {option} is {value!r}, which no spec can hold")
        if default is not None and type(value) is not wanted and not (wanted is float and type(value) is int):
            raise UserError(f"model {name!r}: option {option} is {value!r}, which is not of type {wanted.__name__}")
    if (check := getattr(model_module(name), "check", None)) is not None:
        try:
            check(clip, **{**defaults, **accepted})
        except ValueError as error:
            raise UserError(f"model {name!r}: {error}") from error
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise UserError(f"{model_file(name)}: its check(clip, **options) fails: {reason}") from error
    return accepted


def _options(module: ModuleType) -> list[inspect.Parameter]:
    parameters = inspect.signature(module.build).parameters.values()
    return [parameter for parameter in parameters if parameter.name not in ("num_classes", "clip")]


def _is_plain(value: object) -> bool:
    """Whether a study file can hold this, and a spec."""
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    return value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def _as_tuple(value: object) -> object:
    """Lists as tuples, also inside of one another."""
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value
