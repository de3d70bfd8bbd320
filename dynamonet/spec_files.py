"""Writes what the stages of a study read: the specs of its stages, and study.json for the report. Free of torch."""

from pathlib import Path

from dynamonet.files import write_json
from dynamonet.models.catalogue import model_module
from dynamonet.spec import DatasetSpec, ModelSpec
from dynamonet.study import Expansion, Study


def spec_paths(study: Study, expansion: Expansion) -> list[Path]:
    """Every file that `write_specs` writes."""
    folder = study.directory
    return [
        folder / "study.json",
        *(folder / "manifests" / f"{dataset}.spec.json" for dataset in study.datasets),
        *(folder / "measure" / f"{model}.spec.json" for model in study.models),
        *(folder / "runs" / run / "spec.json" for run in expansion.runs),
        *([folder / "motion.spec.json"] if study.motion else []),
    ]


def write_specs(study: Study, expansion: Expansion) -> None:
    folder = study.directory
    for dataset in study.datasets:
        write_json(folder / "manifests" / f"{dataset}.spec.json", dataset_spec(study, dataset).model_dump(mode="json"))
    for model in study.models:
        write_json(folder / "measure" / f"{model}.spec.json", model_spec(study, model).model_dump(mode="json"))
    for run, spec in expansion.runs.items():
        spec.save(folder / "runs" / run / "spec.json")
    if study.motion:
        write_json(folder / "motion.spec.json", study.motion.model_dump(mode="json"))
    write_json(folder / "study.json", resolved(study, expansion))


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
                "title": model.title or model_module(model.build).CARD.title,
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
