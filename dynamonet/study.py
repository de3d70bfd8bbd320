"""The study file, read and validated. Free of torch."""

import re
from collections.abc import Callable
from pathlib import Path

import yaml
from pydantic import ValidationError

from dynamonet.data.copy_recipe import least_short_side
from dynamonet.data.listing import layout_names
from dynamonet.errors import UserError
from dynamonet.models.catalogue import check_options, check_release, model_module, model_names, release_of
from dynamonet.recipe import Recipe
from dynamonet.spec import FITTED, TASKS, first_problem
from dynamonet.study_baselines import BASELINES, with_baselines
from dynamonet.study_schema import PUBLISHED, RELEASED, SCRATCH, Experiment, Study

NAME = re.compile(r"[A-Za-z0-9_]+")
RULES = (
    *TASKS,
    "adopt",
    "all",
    "check_videos",
    "download",
    "measure",
    "motion",
    "prepare",
    "report",
    "results",
    "specs",
)
"""What else `snakemake NAME` means, so that no experiment can be called that."""


def read_config(path: Path) -> dict:
    """Read a study file. Raises UserError if it does not exist or is not a YAML mapping."""
    try:
        config = yaml.safe_load(Path(path).read_text())
    except OSError as error:
        raise UserError(f"cannot read the study file {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(config, dict):
        raise UserError(f"{path} is not a study: it must be a mapping of keys")
    return config


def load_study(config: dict) -> Study:
    """Validate a study. Raises UserError naming the first key that is wrong."""
    if "broken_baselines" in config:
        raise UserError("broken_baselines: is found out, not set: remove the key")
    try:
        study = Study.model_validate(with_baselines(config))
    except ValidationError as error:
        raise UserError(f"study {config.get('name', '')!r}: {first_problem(error)}") from error
    _check_names(study)
    _check_references(study)
    _check_distinct(study)
    return study


def check_roots(study: Study) -> None:
    """Refuse data sets and checkpoints that are not there. Raises UserError naming the key and the folder or file."""
    for dataset in study.datasets:
        root = study.dataset_root(dataset)
        if not study.is_generated(dataset) and not root.is_dir():
            raise UserError(f"datasets.{dataset}.root: the folder {root} does not exist")
        flow_root = study.flow_root(dataset)
        if flow_root is not None and not flow_root.is_dir():
            raise UserError(f"datasets.{dataset}.flow_root: the folder {flow_root} does not exist: make it")
    for checkpoint in study.checkpoints:
        path = study.checkpoint_path(checkpoint)
        if not path.is_file():
            raise UserError(f"checkpoints.{checkpoint}.path: the file {path} does not exist")


def _check_names(study: Study) -> None:
    kinds = {
        "name": [study.name],
        "datasets": study.datasets,
        "models": study.models,
        "checkpoints": study.checkpoints,
        "experiments": study.experiments,
        "claims": study.claims,
    }
    for kind, names in kinds.items():
        for name in names:
            if not NAME.fullmatch(name):
                raise UserError(f"{kind}: {name!r} is not a name: use letters, digits and _")
    for name in study.checkpoints:
        if name in (SCRATCH, RELEASED, *study.experiments):
            raise UserError(f"checkpoints: {name!r} means something else as an init: use another name")
    for name in (SCRATCH, RELEASED, *RULES):
        if name in study.experiments:
            raise UserError(f"experiments: {name!r} means something else: use another name")
    for name in (*TASKS, BASELINES):
        if name in study.models:
            raise UserError(f"models: {name!r} means something else: use another name")


def _check_distinct(study: Study) -> None:
    """What is listed twice would be counted twice."""
    lists = {"seeds": study.seeds, "titles of models": [study.title_of(model) for model in study.models]}
    lists["titles of datasets"] = [dataset.title or name for name, dataset in study.datasets.items()]
    for name, dataset in study.datasets.items():
        lists[f"datasets.{name}.splits"] = dataset.splits
    for name, experiment in study.experiments.items():
        for key in ("models", "splits", "init", "label_fractions", "tables"):
            lists[f"experiments.{name}.{key}"] = getattr(experiment, key) or ()
    for where, values in lists.items():
        for value in values:
            if list(values).count(value) > 1:
                raise UserError(f"{where}: {value!r} is there twice")


def _check_references(study: Study) -> None:
    for name in study.baselines.leave_out:
        _known("baselines.leave_out", name, model_names())
    for name, dataset in study.datasets.items():
        if dataset.layout not in layout_names():
            raise UserError(
                f"datasets.{name}.layout: there is no layout {dataset.layout!r}: known are {', '.join(layout_names())}"
            )
    for name, model in study.models.items():
        _told_where(f"models.{name}", model_module, model.build)
        _told_where(f"models.{name}", check_options, model.build, model.options, study.clip(name))
        if model.init_from is not None:
            _known(f"models.{name}.init_from", model.init_from, study.models)
    for name, checkpoint in study.checkpoints.items():
        formats = {f for model in study.models.values() for f in getattr(model_module(model.build), "RELEASES", ())}
        _known(f"checkpoints.{name}.format", checkpoint.format, sorted(formats))
    for name, experiment in study.experiments.items():
        _check_experiment(study, f"experiments.{name}", experiment)
    for name, claim in study.claims.items():
        for side, selector in (("treatment", claim.treatment), ("control", claim.control)):
            _known(f"claims.{name}.{side}.experiment", selector.experiment, study.experiments)
            experiment = study.experiments[selector.experiment]
            _known(f"claims.{name}.{side}.model", selector.model, experiment.models)
            _known(f"claims.{name}.{side}.init", selector.init, (None, *experiment.init))
            _known(f"claims.{name}.{side}.label_fraction", selector.label_fraction, (None, *experiment.label_fractions))


def _check_experiment(study: Study, where: str, experiment: Experiment) -> None:
    _known(f"{where}.dataset", experiment.dataset, study.datasets)
    dataset = study.datasets[experiment.dataset]
    for split in experiment.splits or ():
        _known(f"{where}.splits", split, dataset.splits)
    for init in experiment.init:
        _known(f"{where}.init", init, (SCRATCH, RELEASED, *study.experiments, *study.checkpoints))
    for model in experiment.models:
        _known(f"{where}.models", model, study.models)
        card = model_module(study.models[model].build).CARD
        if card.stored_flow and dataset.flow_root is None:
            raise UserError(
                f"{where}.models: {model} takes stored optical flow, and datasets.{experiment.dataset} has no "
                "flow_root: name the folder there"
            )
        if experiment.views == PUBLISHED and card.views is None:
            raise UserError(f"{where}.views: the card of {model} names no published views: give them as numbers")
        views = card.views if experiment.views == PUBLISHED else experiment.views or study.views
        _check_copies(study, where, experiment.dataset, views.least_side(study.clip(model).crop))
        for init in experiment.init:
            _check_weights(study, where, experiment, model, init)
    if (experiment.task in FITTED) != (experiment.recipe is not None):
        need = "needs a recipe" if experiment.task in FITTED else "trains nothing: leave the recipe out"
        raise UserError(f"{where}.recipe: task {experiment.task} {need}")
    for table in experiment.tables:
        if (table == "retrieval") != (experiment.task == "retrieve"):
            raise UserError(f"{where}.tables: task {experiment.task} does not feed the table {table}: leave it out")
    if experiment.recipe is not None:
        _known(f"{where}.recipe", experiment.recipe, study.recipes)
        for model in experiment.models:
            try:
                recipe = study.recipe(experiment.recipe, model)
            except ValidationError as error:
                raise UserError(
                    f"models.{model}.recipe_overrides, on recipes.{experiment.recipe}: {first_problem(error)}"
                ) from error
            if experiment.task == "pretrain":
                _check_pretraining(where, recipe)
            _check_copies(study, where, experiment.dataset, _least_side(recipe, study.clip(model).crop))
    elif set(experiment.label_fractions) != {1.0}:
        raise UserError(f"{where}.label_fractions: task {experiment.task} uses no labels to train: leave them out")
    if experiment.reference is not None:
        _check_reference(study, where, experiment)


def _check_reference(study: Study, where: str, experiment: Experiment) -> None:
    """Each of its rows must have one to be compared with, with runs of equal split and seed."""
    _known(f"{where}.reference", experiment.reference, study.experiments)
    reference = study.experiments[experiment.reference]
    if reference is experiment:
        raise UserError(f"{where}.reference: an experiment cannot be its own: its first model is, without this key")
    if "ablation" not in experiment.tables or "ablation" not in reference.tables:
        raise UserError(f"{where}.reference: both experiments must feed the table ablation: add it to their tables")
    for key in ("dataset", "task"):
        if getattr(experiment, key) != (theirs := getattr(reference, key)):
            raise UserError(
                f"{where}.reference: {experiment.reference} has another {key}, {theirs}: name one of the same"
            )
    splits = study.datasets[experiment.dataset].splits
    for key in ("models", "init", "label_fractions", "splits"):
        for value in getattr(experiment, key) or splits:
            if value not in (theirs := getattr(reference, key) or splits):
                raise UserError(
                    f"{where}.reference: {experiment.reference} has no row of {key} {value!r}: it has "
                    f"{', '.join(map(str, theirs))}"
                )


def _least_side(recipe: Recipe, crop: int) -> int:
    """The short side, in pixels, that a video must have for the smallest training crops not to be enlarged.

    Crops of any area are enlarged by their authors too.
    """
    if recipe.crop == "jitter":
        return recipe.crop_short_side[0]
    return crop if recipe.crop == "resized" else least_short_side(crop, recipe.crop_scales)


def _check_copies(study: Study, where: str, dataset: str, needed: int) -> None:
    copies = study.datasets[dataset].copies
    if copies is not None and copies.short_side < needed:
        raise UserError(
            f"datasets.{dataset}.copies.short_side: {copies.short_side} pixels are fewer than the {needed} of the "
            f"short side that {where} needs: set it to as many, or leave the copies out"
        )


def _check_weights(study: Study, where: str, experiment: Experiment, model: str, init: str) -> None:
    config = study.models[model]
    if init == RELEASED:
        file = model_module(config.build).CARD.released
        if file is None:
            raise UserError(f"{where}.init: nobody has released weights of {config.build}: start {model} from others")
        release_format, classifier = file.format, True
    elif init in study.checkpoints:
        release_format, classifier = study.checkpoints[init].format, study.checkpoints[init].classifier
    else:
        if experiment.task == "evaluate" and init == SCRATCH:
            raise UserError(
                f"{where}.init: evaluating an untrained model shows nothing: name where its weights are from"
            )
        return
    _told_where(f"{where}.init", release_of, config.build, release_format)
    _told_where(f"models.{model}", check_release, config.build, release_format, config.options)
    if experiment.task == "evaluate" and not classifier:
        raise UserError(f"{where}.init: {init} is evaluated as it is: set checkpoints.{init}.classifier to true")


def _check_pretraining(where: str, recipe: Recipe) -> None:
    if recipe.prediction_weight == 0:
        raise UserError(f"{where}: pretraining with prediction_weight 0 has nothing to learn from")
    for key in ("label_smoothing", "mixup", "cutmix"):
        if getattr(recipe, key):
            raise UserError(f"{where}: pretraining uses no labels, so {key} has no effect: leave it out of the recipe")


def _told_where(where: str, check: Callable, *arguments) -> None:
    try:
        check(*arguments)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def _known(where: str, value, known) -> None:
    if value not in known:
        raise UserError(f"{where}: there is no {value!r}: known are {', '.join(str(k) for k in known)}")
