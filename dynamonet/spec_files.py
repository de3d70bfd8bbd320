"""What the stages of a study read: specs of its data sets, models and runs, and study.json. Free of torch."""

from pathlib import Path

from dynamonet.files import write_json
from dynamonet.spec import DatasetSpec, ModelSpec
from dynamonet.study import Expansion, Study


def spec_paths(study: Study, expansion: Expansion) -> list[Path]:
    """Every file that `write_specs` writes."""
    folder = study.directory
    return [folder / "study.json", *(folder / "runs" / run / "spec.json" for run in expansion.runs)]


def write_specs(study: Study, expansion: Expansion) -> None:
    """Write study.json and every run's spec.json."""
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
