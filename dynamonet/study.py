"""The study file, validated. Free of torch."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError

from dynamonet.data.listing import layout_names
from dynamonet.data.motion import MotionConfig
from dynamonet.engine.tracking import TrackerName
from dynamonet.errors import UserError
from dynamonet.files import canonical_json, sha256_text
from dynamonet.models.card import Clip, Frozen
from dynamonet.models.catalogue import check_options, check_release, model_module, release_of
from dynamonet.recipe import Recipe
from dynamonet.spec import ReleasedWeights, Views, first_problem

NAME = re.compile(r"[A-Za-z0-9_]+")
SCRATCH = "scratch"
MOTION = "{motion}"
TABLES = Literal["accuracy", "ablation", "label_efficiency", "frame_prediction"]


class DatasetConfig(Frozen):
    layout: str = Field(description="how the data set lies on disk: a file in dynamonet/data/layouts")
    root: str = Field(description="its folder; {root} is the study's root, {motion} the embedded motion set")
    flow_root: str | None = Field(
        default=None, description="the folder of its stored optical flow (docs/two-stream.md), named as root is"
    )
    title: str | None = None
    splits: tuple[int, ...] = Field(default=(1,), min_length=1)
    max_unusable: int = Field(default=0, ge=0, description="listed videos that may be missing or undecodable")


class ModelConfig(Frozen):
    build: str = Field(description="name in the catalogue: dynamonet or a file in baselines/")
    title: str | None = None
    options: dict = Field(default={}, description="keyword arguments of its `build`")
    clip: Clip | None = Field(default=None, description="None: the clip of the model's card")
    init_from: str | None = Field(
        default=None, description="the model whose run it starts from, where it has none of its own"
    )


class CheckpointConfig(ReleasedWeights):
    path: str = Field(description="the file; where it lies is no part of a run")


class Experiment(Frozen):
    claim: str = Field(description="what the experiment is to show")
    task: Literal["pretrain", "train"] = "train"
    models: tuple[str, ...] = Field(min_length=1, description="the first is the one that others are compared with")
    dataset: str
    splits: tuple[int, ...] | None = Field(default=None, min_length=1, description="None: all of the data set")
    init: tuple[str, ...] = Field(
        default=(SCRATCH,),
        min_length=1,
        description="`scratch`, an experiment whose runs give the weights, or a checkpoint",
    )
    label_fractions: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(default=(1.0,), min_length=1)
    recipe: str
    tables: tuple[TABLES, ...] = ()


class Selector(Frozen):
    """Runs of an experiment, by the fields that are given."""

    experiment: str
    model: str
    init: str | None = None
    label_fraction: float | None = None


class Claim(Frozen):
    text: str
    metric: Literal["top1", "psnr_db"] = "top1"
    treatment: Selector
    control: Selector


class Study(Frozen):
    name: str = Field(description="results go to results/<name>")
    title: str
    description: str = ""
    root: str | None = Field(default=None, description="fills {root} in the data sets' roots")
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    threads: int = Field(default=1, ge=1, description="CPU threads of each training and evaluation")
    trackers: tuple[TrackerName, ...] = Field(
        default=("tensorboard",), description="where each training's log.jsonl is shown; no part of a run"
    )
    views: Views = Views()
    motion: MotionConfig | None = Field(default=None, description="the embedded motion set, generated when used")
    measured_classes: int = Field(default=400, ge=2, description="classes of the models whose cost is measured")
    datasets: dict[str, DatasetConfig]
    models: dict[str, ModelConfig]
    checkpoints: dict[str, CheckpointConfig] = Field(default={}, description="weights that others released")
    recipes: dict[str, Recipe]
    experiments: dict[str, Experiment] = Field(min_length=1)
    claims: dict[str, Claim] = Field(default={}, description="comparisons that get a verdict")

    @property
    def directory(self) -> Path:
        return Path("results") / self.name

    @property
    def motion_root(self) -> Path:
        if self.motion is None:
            raise UserError("a data set's root is {motion} but the study has no key motion")
        return motion_root(self.motion)

    def dataset_root(self, dataset: str) -> Path:
        return self._folder(self.datasets[dataset].root)

    def flow_root(self, dataset: str) -> Path | None:
        """The folder of its stored optical flow, if it has any."""
        root = self.datasets[dataset].flow_root
        return None if root is None else self._folder(root)

    def _folder(self, root: str) -> Path:
        if "{root}" in root:
            if not self.root:
                raise UserError("the study needs the folder of your clips: add --config root=PATH")
            root = root.replace("{root}", self.root)
        if root.startswith(MOTION):
            return Path(str(self.motion_root) + root.removeprefix(MOTION))
        return Path(root).expanduser()

    def checkpoint_path(self, checkpoint: str) -> Path:
        return Path(self.checkpoints[checkpoint].path).expanduser()

    def is_generated(self, dataset: str) -> bool:
        return self.datasets[dataset].root.startswith(MOTION)

    def title_of(self, model: str) -> str:
        config = self.models[model]
        return config.title or model_module(config.build).CARD.title

    def clip(self, model: str) -> Clip:
        config = self.models[model]
        return config.clip or model_module(config.build).CARD.clip


def motion_root(config: MotionConfig) -> Path:
    """Folder of an embedded set; its name ends in the hash of what it is generated from."""
    return Path("data") / f"motion-{sha256_text(canonical_json(config.model_dump(mode='json')))[:8]}"


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
    try:
        study = Study.model_validate(config)
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
        if name in (SCRATCH, *study.experiments):
            raise UserError(f"checkpoints: {name!r} means something else as an init: use another name")


def _check_distinct(study: Study) -> None:
    """What is listed twice would be counted twice."""
    lists = {"seeds": study.seeds, "titles of models": [study.title_of(model) for model in study.models]}
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
    for name, experiment in study.experiments.items():
        where = f"experiments.{name}"
        for model in experiment.models:
            _known(f"{where}.models", model, study.models)
        _known(f"{where}.dataset", experiment.dataset, study.datasets)
        for model in experiment.models:
            takes_flow = model_module(study.models[model].build).CARD.stored_flow
            if takes_flow and study.datasets[experiment.dataset].flow_root is None:
                raise UserError(
                    f"{where}.models: {model} takes stored optical flow, and datasets.{experiment.dataset} has no "
                    "flow_root: name the folder there"
                )
        _known(f"{where}.recipe", experiment.recipe, study.recipes)
        for split in experiment.splits or ():
            _known(f"{where}.splits", split, study.datasets[experiment.dataset].splits)
        for init in experiment.init:
            _known(f"{where}.init", init, (SCRATCH, *study.experiments, *study.checkpoints))
            for model in experiment.models if init in study.checkpoints else ():
                config, released = study.models[model], study.checkpoints[init]
                _told_where(f"{where}.init", release_of, config.build, released.format)
                _told_where(f"models.{model}", check_release, config.build, released.format, config.options)
        if experiment.task == "pretrain":
            _check_pretraining(where, study.recipes[experiment.recipe])
    for name, claim in study.claims.items():
        for side, selector in (("treatment", claim.treatment), ("control", claim.control)):
            _known(f"claims.{name}.{side}.experiment", selector.experiment, study.experiments)
            experiment = study.experiments[selector.experiment]
            _known(f"claims.{name}.{side}.model", selector.model, experiment.models)
            _known(f"claims.{name}.{side}.init", selector.init, (None, *experiment.init))
            _known(f"claims.{name}.{side}.label_fraction", selector.label_fraction, (None, *experiment.label_fractions))


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
