"""What the Snakefile needs of a study: which file a job reads and writes. Free of torch."""

import sys

from dynamonet.errors import UserError
from dynamonet.study import Expansion, Study, check_roots, expand, load_study, read_config


def open_study(config: dict, default: str | None) -> tuple[Study, Expansion]:
    """The study that Snakemake's `config` holds; its keys take the place of those of the study file `default`.

    Ends the program with one sentence if the study is wrong, before any job is made.
    """
    try:
        if default is not None:
            config = {**read_config(default), **config}
        study = load_study(config)
        check_roots(study)
        return study, expand(study)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def dataset_inputs(study: Study, dataset: str) -> list[str]:
    """What must be there before a data set can be prepared."""
    return [f"{study.motion_root}/complete.json"] if study.is_generated(dataset) else []


def manifest_of(study: Study, runs: Expansion, run: str) -> str:
    return f"{study.directory}/manifests/{runs.runs[run].dataset}.parquet"


def parent_weights(study: Study, runs: Expansion, run: str) -> list[str]:
    """Weights and record of the run that this one starts from, if any."""
    parent = runs.runs[run].init
    return (
        []
        if parent is None
        else [f"{study.directory}/runs/{parent}/{name}" for name in ("model.safetensors", "fit.json")]
    )


def record_paths(study: Study, runs: Expansion) -> list[str]:
    """Every record of a study: what its report is written from."""
    folder = study.directory
    return [
        *(f"{folder}/manifests/{dataset}.json" for dataset in study.datasets),
        *(f"{folder}/measure/{model}.json" for model in study.models),
        *(f"{folder}/runs/{run}/{record}.json" for run in runs.runs for record in ("fit", "evaluate")),
    ]
