"""Baselines that a study does not name but takes because their files are there. Free of torch."""

import sys

from pydantic import ValidationError

from dynamonet.errors import UserError
from dynamonet.models.catalogue import OWN, check_options, model_file, model_module, model_names
from dynamonet.study_schema import BaselinesConfig

BASELINES = "baselines"
"""Among the models of an experiment: every file in baselines/ that the study neither names nor leaves out."""


def with_baselines(config: dict) -> dict:
    """A study's configuration with an entry in `models` for each such file, and their names where `baselines` stood.

    A file that cannot be used breaks nothing but itself: it is said on stderr, and noted as `broken_baselines`. What
    is wrong with the configuration itself is left for its validation to say.
    """
    experiments, models = config.get("experiments"), config.get("models")
    wanted = isinstance(experiments, dict) and any(BASELINES in _models_of(e) for e in experiments.values())
    if not wanted or not isinstance(models, dict) or not all(map(_is_known, models.values())):
        return config
    try:
        settings = BaselinesConfig.model_validate(config.get("baselines", {}))
    except ValidationError:
        return config
    builds, found, broken = {model.get("build") for model in models.values()}, {}, {}
    for name in model_names():
        if name in OWN or name in builds or name in settings.leave_out:
            continue
        try:
            found[name] = _entry(name, settings, {**models, **found})
        except UserError as error:
            broken[name] = str(error)
            print(f"left out: {error}", file=sys.stderr)
    return {
        **config,
        "models": {**models, **found},
        "experiments": {name: _expanded(experiment, found) for name, experiment in experiments.items()},
        "broken_baselines": broken,
    }


def _is_known(model: object) -> bool:
    """Whether the study's entry of a model names one that is there and can be used."""
    try:
        return isinstance(model, dict) and bool(model_module(model.get("build")))
    except UserError:
        return False


def _models_of(experiment: object) -> list:
    models = experiment.get("models") if isinstance(experiment, dict) else None
    return models if isinstance(models, list) else []


def _entry(name: str, settings: BaselinesConfig, models: dict) -> dict:
    """What the study says of the baseline. Raises UserError, naming its file, if it cannot be used."""
    file = model_file(name)
    if not name.isidentifier():
        raise UserError(f"{file}: {name!r} is not a name: use letters, digits and _ for the file")
    if name in models:
        raise UserError(f"{file} has the name of another model of the study: give it another")
    card = model_module(name).CARD
    for other, model in models.items():
        if (model.get("title") or model_module(model["build"]).CARD.title) == card.title:
            raise UserError(f"{file}: its title {card.title!r} is that of {other}: give it another")
    try:
        check_options(name, {}, settings.clip or card.clip)
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    return {"build": name, **settings.model_dump(include={"clip", "recipe_overrides"})}


def _expanded(experiment: object, found: dict) -> object:
    if BASELINES not in _models_of(experiment):
        return experiment
    models = [name for model in experiment["models"] for name in (found if model == BASELINES else [model])]
    return {**experiment, "models": models}
