"""What the stages of a study read: specs of its data sets, models and runs, and study.json. Free of torch."""

from pathlib import Path

from dynamonet.expansion import Expansion
from dynamonet.files import write_json
from dynamonet.models.catalogue import model_module
from dynamonet.spec import CheckpointSpec, DatasetSpec, FlowSpec, ModelSpec
from dynamonet.study_schema import RELEASED_FOLDER, Study


def spec_paths(study: Study, expansion: Expansion) -> list[Path]:
    """Every file that `write_specs` writes."""
    folder = study.directory
    return [
        folder / "study.json",
        *(folder / "checkpoints" / f"{checkpoint}.spec.json" for checkpoint in checkpoint_specs(study, expansion)),
        *(folder / "flow" / f"{dataset}.spec.json" for dataset in study.datasets if study.flow_root(dataset)),
        *(folder / "runs" / run / "spec.json" for run in expansion.runs),
    ]


def write_specs(study: Study, expansion: Expansion) -> None:
    """Write study.json, every run's spec.json, and where each checkpoint and each data set's flow lies."""
    for checkpoint, where in checkpoint_specs(study, expansion).items():
        write_json(study.directory / "checkpoints" / f"{checkpoint}.spec.json", where.model_dump())
    for dataset in study.datasets:
        if flow_root := study.flow_root(dataset):
            content = FlowSpec(dataset=dataset, flow_root=str(flow_root)).model_dump()
            write_json(study.directory / "flow" / f"{dataset}.spec.json", content)
    for run, spec in expansion.runs.items():
        spec.save(study.directory / "runs" / run / "spec.json")
    write_json(study.directory / "study.json", resolved(study, expansion))


def checkpoint_specs(study: Study, expansion: Expansion) -> dict[str, CheckpointSpec]:
    """Where the study's own checkpoints lie, and the released weights of each model that a run starts from."""
    specs = {
        name: CheckpointSpec(checkpoint=name, path=str(study.checkpoint_path(name)), sha256=config.sha256)
        for name, config in study.checkpoints.items()
    }
    for run in expansion.runs.values():
        if run.checkpoint is not None and run.checkpoint.name not in specs:
            file = model_module(run.build).CARD.released
            specs[run.checkpoint.name] = CheckpointSpec(
                checkpoint=run.checkpoint.name,
                path=str(RELEASED_FOLDER / file.url.rpartition("/")[2]),
                url=file.url,
                sha256=file.sha256,
                sha256_prefix=file.sha256_prefix,
                mirror=study.mirror,
            )
    return specs


def dataset_spec(study: Study, dataset: str) -> DatasetSpec:
    config = study.datasets[dataset]
    return DatasetSpec(
        dataset=dataset,
        layout=config.layout,
        root=str(study.dataset_root(dataset)),
        max_unusable=config.max_unusable,
        copies=config.copies and config.copies.recipe,
        copies_folder=config.copies and str(study.copies_folder(dataset)),
        shards=config.shards,
    )


def model_spec(study: Study, model: str) -> ModelSpec:
    config = study.models[model]
    return ModelSpec(
        model=model,
        build=config.build,
        options=config.options,
        clip=study.clip(model),
        num_classes=study.measured_classes,
        views=study.views,
        threads=study.threads,
    )


def resolved(study: Study, expansion: Expansion) -> dict:
    """study.json: everything that the report needs to know beside the records."""
    return {
        **study.model_dump(mode="json", include={"name", "title", "description", "seeds", "threads"}),
        "datasets": {
            name: {
                "title": dataset.title or name,
                "layout": dataset.layout,
                "splits": list(dataset.splits),
                "generated": study.is_generated(name),
            }
            for name, dataset in study.datasets.items()
        },
        "models": {
            name: {
                "title": study.title_of(name),
                "build": model.build,
                "options": model.options,
                "clip": study.clip(name).model_dump(),
                "recipe_overrides": study.recipe_overrides(name),
            }
            for name, model in study.models.items()
        },
        "measured": {"num_classes": study.measured_classes, "views": study.views.model_dump(mode="json")},
        "broken_baselines": study.broken_baselines,
        "recipes": {name: recipe.model_dump(mode="json") for name, recipe in study.recipes.items()},
        "experiments": {
            name: {
                "claim": experiment.claim,
                "task": experiment.task,
                "tables": list(experiment.tables),
                "reference": experiment.reference,
                "runs": expansion.experiments[name],
            }
            for name, experiment in study.experiments.items()
        },
        "claims": {name: claim.model_dump(mode="json", exclude_none=True) for name, claim in study.claims.items()},
    }
