"""From a study to its runs: the only place that expands the matrix. Free of torch."""

from dataclasses import dataclass
from itertools import product

from dynamonet.errors import UserError
from dynamonet.models.catalogue import default_options, model_module
from dynamonet.spec import Checkpoint, RunSpec, Views, check_sizes
from dynamonet.study_schema import PUBLISHED, RELEASED, Experiment, Study


@dataclass(frozen=True)
class Expansion:
    """All runs of a study: `runs` by name, parents before children; `experiments` -> descriptions of its runs."""

    runs: dict[str, RunSpec]
    experiments: dict[str, list[dict]]


def expand(study: Study) -> Expansion:
    """Every run of every experiment, once. Raises UserError for an experiment that starts from itself."""
    runs: dict[str, RunSpec] = {}
    experiments: dict[str, list[dict]] = {}

    def expand_experiment(name: str, below: tuple[str, ...]) -> list[dict]:
        if name in below:
            raise UserError(f"experiments.{name}.init: starts from itself ({' -> '.join((*below, name))})")
        if name not in experiments:
            experiment = study.experiments[name]
            parents = {
                init: expand_experiment(init, (*below, name)) for init in experiment.init if init in study.experiments
            }
            experiments[name] = list(_expand_one(study, name, parents, runs))
        return experiments[name]

    for name in study.experiments:
        expand_experiment(name, ())
    return Expansion(runs, {name: experiments[name] for name in study.experiments})


def _expand_one(study: Study, name: str, parents: dict[str, list[dict]], runs: dict[str, RunSpec]):
    experiment = study.experiments[name]
    splits = experiment.splits or study.datasets[experiment.dataset].splits
    for model, init, fraction, split, seed in product(
        experiment.models, experiment.init, experiment.label_fractions, splits, study.seeds
    ):
        parent = _parent(study, name, init, parents[init], model, split, seed) if init in parents else None
        spec = _spec(study, experiment, model, init, parent, fraction, split, seed)
        check_sizes(spec)
        runs[spec.run] = spec
        yield {
            "run": spec.run,
            "model": model,
            "dataset": experiment.dataset,
            "split": split,
            "label_fraction": fraction,
            "init": init,
            "seed": seed,
            "recipe": experiment.recipe,
            "views": spec.views.model_dump(),
        }


def _parent(study: Study, name: str, init: str, candidates: list[dict], model: str, split: int, seed: int) -> str:
    """The one run of experiment `init` with this seed, of this model or of the one it may start from.

    On the same data set it is that of the same split: others were trained on videos that this one is tested on.
    """
    dataset = study.experiments[name].dataset
    candidates = [c for c in candidates if c["dataset"] != dataset or c["split"] == split]
    if not candidates:
        raise UserError(
            f"experiments.{name}.init: {init} has no run on split {split} of {dataset}, and its others saw videos "
            f"that this split tests on: add the split there, or leave it out of experiments.{name}.splits"
        )
    for source in (model, study.models[model].init_from):
        found = {c["run"] for c in candidates if c["model"] == source and c["seed"] == seed}
        if len(found) == 1:
            return found.pop()
        if found:
            raise UserError(
                f"experiments.{name}.init: {init} has {len(found)} runs of {source!r}, seed {seed}: one is needed"
            )
    raise UserError(
        f"experiments.{name}.init: {init} has no run of {model!r}; add it there or set models.{model}.init_from"
    )


def _spec(
    study: Study,
    experiment: Experiment,
    model: str,
    init: str,
    parent: str | None,
    fraction: float,
    split: int,
    seed: int,
) -> RunSpec:
    config = study.models[model]
    dataset = study.datasets[experiment.dataset]
    return RunSpec(
        task=experiment.task,
        model=model,
        build=config.build,
        options={**default_options(config.build), **config.options},
        clip=study.clip(model),
        extra_frames=model_module(config.build).CARD.extra_frames,
        dataset=experiment.dataset,
        dataset_key=study.motion_root.name if study.is_generated(experiment.dataset) else dataset.layout,
        copies=dataset.copies and dataset.copies.recipe,
        split=split,
        label_fraction=fraction,
        init=parent,
        checkpoint=_checkpoint(study, experiment, config.build, init),
        recipe=None if experiment.recipe is None else study.recipe(experiment.recipe, model),
        views=_views(study, experiment, config.build),
        seed=seed,
        threads=study.threads,
    )


def _checkpoint(study: Study, experiment: Experiment, build: str, init: str) -> Checkpoint | None:
    if init == RELEASED:
        file = model_module(build).CARD.released
        return Checkpoint(
            name=f"released-{build}",
            format=file.format,
            sha256=file.sha256,
            url=file.url,
            classifier=experiment.task == "evaluate",
        )
    released = study.checkpoints.get(init)
    return released and Checkpoint(name=init, **released.model_dump(exclude={"path"}))


def _views(study: Study, experiment: Experiment, build: str) -> Views:
    if experiment.views == PUBLISHED:
        return Views(**model_module(build).CARD.views.model_dump())
    return experiment.views or study.views
