"""What the stages of a study read: specs of its data sets, models and runs, and study.json. Free of torch."""

from pathlib import Path

from dynamonet.expansion import Expansion
from dynamonet.files import write_json
from dynamonet.spec import CheckpointSpec, DatasetSpec, FlowSpec, ModelSpec
from dynamonet.study import Study


def spec_paths(study: Study, expansion: Expansion) -> list[Path]:
    """Every file that `write_specs` writes."""
    folder = study.directory
    return [
        folder / "study.json",
        *(folder / "checkpoints" / f"{checkpoint}.spec.json" for checkpoint in study.checkpoints),
        *(folder / "flow" / f"{dataset}.spec.json" for dataset in study.datasets if study.flow_root(dataset)),
        *(folder / "runs" / run / "spec.json" for run in expansion.runs),
    ]


def write_specs(study: Study, expansion: Expansion) -> None:
    """Write study.json, every run's spec.json, and where each checkpoint and each data set's flow lies."""
    for checkpoint in study.checkpoints:
        where = CheckpointSpec(checkpoint=checkpoint, path=str(study.checkpoint_path(checkpoint)))
        write_json(study.directory / "checkpoints" / f"{checkpoint}.spec.json", where.model_dump())
    for dataset in study.datasets:
        if flow_root := study.flow_root(dataset):
            content = FlowSpec(dataset=dataset, flow_root=str(flow_root)).model_dump()
            write_json(study.directory / "flow" / f"{dataset}.spec.json", content)
    for run, spec in expansion.runs.items():
        spec.save(study.directory / "runs" / run / "spec.json")
    write_json(study.directory / "study.json", resolved(study, expansion))


def dataset_spec(study: Study, dataset: str) -> DatasetSpec:
    config = study.datasets[dataset]
    root = str(study.dataset_root(dataset))
    return DatasetSpec(dataset=dataset, layout=config.layout, root=root, max_unusable=config.max_unusable)


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
            name: {"title": dataset.title or name, "layout": dataset.layout, "splits": list(dataset.splits)}
            for name, dataset in study.datasets.items()
        },
        "models": {
            name: {
                "title": study.title_of(name),
                "build": model.build,
                "options": model.options,
                "clip": study.clip(name).model_dump(),
            }
            for name, model in study.models.items()
        },
        "experiments": {
            name: {
                "claim": experiment.claim,
                "task": experiment.task,
                "tables": list(experiment.tables),
                "runs": expansion.experiments[name],
            }
            for name, experiment in study.experiments.items()
        },
        "claims": {name: claim.model_dump(mode="json", exclude_none=True) for name, claim in study.claims.items()},
    }
