"""What the Snakefile needs of a study: which file a job reads and writes. Free of torch."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from dynamonet.data.listing import fingerprint
from dynamonet.errors import UserError
from dynamonet.expansion import Expansion, expand
from dynamonet.models.catalogue import model_module
from dynamonet.spec_files import checkpoint_specs
from dynamonet.study import check_roots, load_study, read_config
from dynamonet.study_schema import RELEASED_FOLDER, Study


def open_study(config: dict, default: str | None) -> tuple[Study, Expansion]:
    """The study that Snakemake's `config` holds; its keys take the place of those of the study file `default`.

    Ends the program with one sentence if the study is wrong, before any job is made.
    """
    with _one_sentence():
        if default is not None:
            config = {**read_config(default), **config}
        study = load_study(config)
        return study, expand(study)


@contextmanager
def _one_sentence() -> Iterator[None]:
    """Ends the program with what is wrong, in the place of Snakemake's traceback."""
    try:
        yield
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def dataset_inputs(study: Study, dataset: str) -> list[str]:
    """What must be there before a data set can be prepared.

    Ends the program, before any job is made, where folders or checkpoints of the study are absent. It is asked by the
    jobs that need them: a report from the records does not.
    """
    with _one_sentence():
        check_roots(study)
    return [f"{study.motion_root}/complete.json"] if study.is_generated(dataset) else []


def sources_of(study: Study, dataset: str) -> str:
    """A hash that changes with a data set's lists and with the files in its folders (`fingerprint`).

    Embedded data sets have none: rule motion knows what is in them, and makes them when this has been asked for.
    """
    if study.is_generated(dataset):
        return "embedded"
    with _one_sentence():
        return _fingerprint(study.datasets[dataset].layout, study.dataset_root(dataset))


_fingerprint = cache(fingerprint)
"""Each shard of a data set asks for the same one."""


def checked_shards(study: Study, dataset: str) -> list[str]:
    """The records of the jobs that share the checking of a data set's videos, if it has more than one shard."""
    shards = study.datasets[dataset].shards
    names = [f"{dataset}.{shard}-of-{shards}" for shard in range(1, shards + 1)] if shards > 1 else []
    return [f"{study.directory}/checks/{name}.json" for name in names]


def manifest_of(study: Study, runs: Expansion, run: str) -> str:
    return f"{study.directory}/manifests/{runs.runs[run].dataset}.parquet"


def initial_weights(study: Study, runs: Expansion, run: str) -> list[str]:
    """What a run starts from: weights and record of another run, or spec and file of a checkpoint; nothing: scratch."""
    spec = runs.runs[run]
    if spec.checkpoint is not None:
        with _one_sentence():
            check_roots(study)
        where = checkpoint_specs(study, runs)[spec.checkpoint.name]
        return [f"{study.directory}/checkpoints/{spec.checkpoint.name}.spec.json", where.path]
    if spec.init is None:
        return []
    return [f"{study.directory}/runs/{spec.init}/{name}" for name in ("model.safetensors", "fit.json")]


def spec_of_download(study: Study, runs: Expansion, file: str) -> str:
    """The spec that says where released weights are to be got from, for one of the files that lie in data/released."""
    wanted = str(RELEASED_FOLDER / file)
    name = next(name for name, where in checkpoint_specs(study, runs).items() if where.path == wanted)
    return f"{study.directory}/checkpoints/{name}.spec.json"


def flow_specs(study: Study, runs: Expansion, run: str) -> list[str]:
    """The spec that says where the stored optical flow lies, if the run's model takes it."""
    spec = runs.runs[run]
    stored = model_module(spec.build).CARD.stored_flow
    return [f"{study.directory}/flow/{spec.dataset}.spec.json"] if stored else []


def record_paths(study: Study, runs: Expansion) -> list[str]:
    """Every record of a study: what its report is written from."""
    folder = study.directory
    return [
        *(f"{folder}/manifests/{dataset}.json" for dataset in study.datasets),
        *(f"{folder}/measure/{model}.json" for model in study.models),
        *(path for run in runs.runs for path in _run_records(study, runs, run)),
    ]


def experiment_records(study: Study, runs: Expansion, experiment: str) -> list[str]:
    """The records of an experiment's runs."""
    return [path for run in runs.experiments[experiment] for path in _run_records(study, runs, run["run"])]


def _run_records(study: Study, runs: Expansion, run: str) -> list[str]:
    last = "retrieve" if runs.runs[run].task == "retrieve" else "evaluate"
    return [f"{study.directory}/runs/{run}/{stage}.json" for stage in ("fit", last)]
