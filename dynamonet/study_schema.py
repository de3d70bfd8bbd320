"""What a study file may say. Free of torch."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from dynamonet.data.copy_recipe import CopyRecipe
from dynamonet.data.motion import MotionConfig
from dynamonet.engine.tracking import TrackerName
from dynamonet.errors import UserError
from dynamonet.files import canonical_json, sha256_text
from dynamonet.models.card import Clip, Frozen
from dynamonet.models.catalogue import model_module
from dynamonet.recipe import Recipe
from dynamonet.spec import ReleasedWeights, Task, Views

SCRATCH, RELEASED = "scratch", "released"
"""Where weights come from that no run of the study and no checkpoint of its own gives."""
PUBLISHED = "published"
RELEASED_FOLDER = Path("data/released")
MOTION = "{motion}"
TABLES = Literal["accuracy", "ablation", "label_efficiency", "frame_prediction", "retrieval"]


class CopyConfig(CopyRecipe):
    folder: str = Field(description="where the copies lie, shared by studies; named as root is; no part of a run")

    @property
    def recipe(self) -> CopyRecipe:
        return CopyRecipe(**self.model_dump(exclude={"folder"}))


class DatasetConfig(Frozen):
    layout: str = Field(description="how the data set lies on disk: a file in dynamonet/data/layouts")
    root: str = Field(description="its folder; {root} is the study's root, {motion} the embedded motion set")
    flow_root: str | None = Field(
        default=None, description="the folder of its stored optical flow (docs/two-stream.md), named as root is"
    )
    title: str | None = None
    splits: tuple[int, ...] = Field(default=(1,), min_length=1)
    max_unusable: int = Field(default=0, ge=0, description="listed videos that may be missing or undecodable")
    copies: CopyConfig | None = Field(
        default=None, description="read prepared copies (docs/prepared-copies.md); None: the files as shipped"
    )
    shards: int = Field(default=1, ge=1, description="jobs that share the checking of its videos")


class ModelConfig(Frozen):
    build: str = Field(description="name in the catalogue: dynamonet or a file in baselines/")
    title: str | None = None
    options: dict = Field(default={}, description="keyword arguments of its `build`")
    clip: Clip | None = Field(default=None, description="None: the clip of the model's card")
    recipe_overrides: dict | Literal["published"] = Field(
        default={}, description="settings that take the place of a recipe's; published: those that its card names"
    )
    init_from: str | None = Field(
        default=None, description="the model whose run it starts from, where it has none of its own"
    )


class BaselinesConfig(Frozen):
    """The baselines that an experiment takes by the word `baselines`: every file that no model of the study builds."""

    clip: Clip | None = Field(default=None, description="their clip; None: each that of its card")
    recipe_overrides: dict = Field(default={}, description="settings in the place of a recipe's, for all of them")
    leave_out: tuple[str, ...] = Field(default=(), description="files that are not taken")


class CheckpointConfig(ReleasedWeights):
    path: str = Field(description="the file; where it lies is no part of a run")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="of the file")


class Experiment(Frozen):
    claim: str = Field(description="what the experiment is to show")
    task: Task = Field(
        default="train", description="evaluate and retrieve train nothing: they take the weights of `init` as they are"
    )
    models: tuple[str, ...] = Field(
        min_length=1,
        description="the first is the one that others are compared with; `baselines`: every other file in baselines/",
    )
    dataset: str
    splits: tuple[int, ...] | None = Field(default=None, min_length=1, description="None: all of the data set")
    init: tuple[str, ...] = Field(
        default=(SCRATCH,),
        min_length=1,
        description="`scratch`, an experiment whose runs give the weights, a checkpoint, or `released`: its own",
    )
    label_fractions: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(default=(1.0,), min_length=1)
    recipe: str | None = Field(default=None, description="how it is trained, if it is")
    views: Views | Literal["published"] | None = Field(
        default=None, description="None: the study's; published: those that each model's card names"
    )
    tables: tuple[TABLES, ...] = ()
    reference: str | None = Field(
        default=None,
        description="the experiment whose rows it is compared with in the table ablation; None: its own first model",
    )


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
    reader: Literal["pyav", "torchcodec"] = Field(
        default="pyav", description="what decodes prepared copies: the frames are the same, so it is no part of a run"
    )
    mirror: str | None = Field(
        default=None, description="a folder or URL that released weights are taken from, by their file names"
    )
    motion: MotionConfig | None = Field(default=None, description="the embedded motion set, generated when used")
    measured_classes: int = Field(default=400, ge=2, description="classes of the models whose cost is measured")
    datasets: dict[str, DatasetConfig]
    models: dict[str, ModelConfig]
    baselines: BaselinesConfig = BaselinesConfig()
    broken_baselines: dict[str, str] = Field(default={}, description="not to be set: files that could not be taken")
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

    def copies_folder(self, dataset: str) -> Path | None:
        """The folder of its prepared copies, if it is read from copies."""
        copies = self.datasets[dataset].copies
        return None if copies is None else self._folder(copies.folder)

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

    def recipe_overrides(self, model: str) -> dict:
        config = self.models[model]
        if config.recipe_overrides == PUBLISHED:
            return model_module(config.build).CARD.recipe_overrides
        return config.recipe_overrides

    def recipe(self, name: str, model: str) -> Recipe:
        """A recipe as it is for one model. Raises ValidationError for overrides that it cannot have."""
        recipe, overrides = self.recipes[name], self.recipe_overrides(model)
        return Recipe.model_validate({**recipe.model_dump(), **overrides}) if overrides else recipe

    def clip(self, model: str) -> Clip:
        config = self.models[model]
        return config.clip or model_module(config.build).CARD.clip


def motion_root(config: MotionConfig) -> Path:
    """Folder of an embedded set; its name ends in the hash of what it is generated from."""
    return Path("data") / f"motion-{sha256_text(canonical_json(config.model_dump(mode='json')))[:8]}"
