"""One run, resolved and frozen: what `spec.json` holds and what a run's name is the hash of. Free of torch."""

from pathlib import Path
from typing import Literal, TypeVar, get_args

from pydantic import Field, ValidationError

from dynamonet.data.copy_recipe import CopyRecipe
from dynamonet.errors import UserError
from dynamonet.files import canonical_json, read_json, sha256_text, write_json
from dynamonet.models.card import Clip, Frozen, Views
from dynamonet.recipe import Execution, Recipe

FITTED = ("pretrain", "train")
"""Tasks that train; the others take weights as they are."""
Task = Literal["pretrain", "train", "evaluate", "retrieve"]
TASKS = get_args(Task)


class ReleasedWeights(Frozen):
    """A file of weights that others released."""

    format: str = Field(description="3d_resnets, of kenshohara/3D-ResNets-PyTorch, or another that the model takes")
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$", description="of the file, where it is known")
    classifier: bool = Field(default=False, description="take its classifier too: the classes are the same")


class Checkpoint(ReleasedWeights):
    """Released weights that a run starts from. Where the file lies is no part of the run."""

    name: str = Field(description="the study's name for it")
    url: str | None = Field(default=None, description="where its authors publish it")


class RunSpec(Frozen):
    """Everything that determines a run's numbers, apart from the data's bytes and the code."""

    task: Task = Field(description="evaluate and retrieve use the weights that they start from, without training")
    model: str = Field(description="the study's name for the model")
    build: str = Field(description="the catalogue's name for it")
    options: dict
    clip: Clip
    extra_frames: int
    dataset: str
    dataset_key: str = Field(description="what the data set was generated from, or its layout")
    copies: CopyRecipe | None = Field(default=None, description="prepared copies of its videos; None: as shipped")
    split: int
    label_fraction: float = Field(gt=0, le=1, description="share of each class's training videos used")
    init: str | None = Field(description="name of the run whose weights this one starts from")
    checkpoint: Checkpoint | None = Field(default=None, description="released weights that it starts from instead")
    recipe: Recipe | None = Field(description="None where nothing is trained")
    views: Views
    seed: int
    threads: int = Field(ge=1, description="CPU threads: part of the result, because sums change with their order")

    @property
    def sha256(self) -> str:
        return sha256_text(canonical_json(self.model_dump(mode="json")))

    @property
    def execution(self) -> Execution:
        """How its network is run: as it was trained, or plainly where it is not."""
        return self.recipe or Execution()

    @property
    def run(self) -> str:
        """Readable name, ending in the hash: a changed setting is a new run."""
        parts = [] if self.task == "train" else [self.task]
        parts += [self.model, f"{self.dataset}.{self.split}"]
        if self.label_fraction < 1:
            parts.append(f"{100 * self.label_fraction:g}pct")
        return "-".join([*parts, f"s{self.seed}", self.sha256[:8]])

    def save(self, path: Path) -> None:
        write_json(path, {"run_name": self.run, **self.model_dump(mode="json")})


def check_sizes(spec: RunSpec) -> None:
    """Raises UserError for crops that are larger than the short side they are to be cut from."""
    recipe, views = spec.recipe, spec.views
    crop = views.crop or spec.clip.crop
    sides = {"views.short_side": (views.short_side, crop), "views.frame": (views.frame and min(views.frame), crop)}
    if recipe is not None and recipe.crop == "jitter":
        sides["crop_short_side of the recipe"] = recipe.crop_short_side[0], spec.clip.crop
    for key, (short_side, crop) in sides.items():
        if short_side is not None and short_side < crop:
            raise UserError(
                f"{spec.run}: {key} is {short_side}, less than the crops of {crop} pixels: give a larger one"
            )


class NamedRunSpec(RunSpec):
    """A run's spec as `spec.json` holds it: with its name, against which the settings are checked."""

    run_name: str


SpecKind = TypeVar("SpecKind", bound=Frozen)


class DatasetSpec(Frozen):
    """A data set to prepare."""

    dataset: str
    layout: str
    root: str
    max_unusable: int
    copies: CopyRecipe | None = None
    copies_folder: str | None = None
    shards: int = Field(default=1, ge=1, description="jobs that check its videos before it is prepared")


class FlowSpec(Frozen):
    """Where the stored optical flow of a data set lies."""

    dataset: str
    flow_root: str


class CheckpointSpec(Frozen):
    """Where released weights lie, and where they are to be got from if they do not lie there yet."""

    checkpoint: str
    path: str
    url: str | None = None
    sha256: str | None = Field(default=None, description="of the whole file")
    sha256_prefix: str | None = Field(default=None, description="its first digits, where no more is known")
    mirror: str | None = Field(default=None, description="a folder or URL that holds files of these names")


class ModelSpec(Frozen):
    """A model whose cost is measured."""

    model: str
    build: str
    options: dict
    clip: Clip
    num_classes: int
    views: Views
    threads: int

    def network(self) -> dict:
        """What its cost follows from, as JSON: the record holds it, so that it can be held against study.json."""
        return self.model_dump(mode="json", exclude={"model", "threads"})


def read_spec(kind: type[SpecKind], path: Path) -> SpecKind:
    """Read the spec of a stage. Raises UserError if it is absent or not of this kind."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist: write the study's specs with `snakemake specs`")
    try:
        return kind.model_validate(read_json(path))
    except (ValidationError, ValueError) as error:
        raise UserError(f"{path} is not a {kind.__name__}: {first_problem(error)}") from error


def load_spec(path: Path) -> RunSpec:
    """Read a run's `spec.json`. Raises UserError if it is absent, not a spec, or edited after it was written."""
    spec = read_spec(NamedRunSpec, path)
    resolved = RunSpec(**{name: getattr(spec, name) for name in RunSpec.model_fields})
    if resolved.run != spec.run_name:
        raise UserError(
            f"{path} was edited: its settings now hash to {resolved.run}; change the study file instead and run again"
        )
    return resolved


def first_problem(error: Exception) -> str:
    """One line of a pydantic error: the key and what is wrong with it."""
    if not isinstance(error, ValidationError):
        return f"{type(error).__name__}: {error}"
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    message = {"extra_forbidden": "unknown key", "missing": "key is missing"}.get(problem["type"], problem["msg"])
    return f"{where}: {message}" if where else message
