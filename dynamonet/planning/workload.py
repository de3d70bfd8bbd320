"""The jobs of a study, as the Snakefile makes them, and what each has to do. Free of torch."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from dynamonet.expansion import Expansion
from dynamonet.records import Record
from dynamonet.spec import FITTED, ModelSpec, RunSpec
from dynamonet.spec_files import checkpoint_specs, model_spec
from dynamonet.study_schema import Study

STAGES = ("prepare", "fit", "adopt", "evaluate", "retrieve", "measure")
"""In which jobs are counted; checking a data set's videos counts as preparing it."""
ON_DEVICE = ("fit", "adopt", "evaluate", "retrieve", "measure")
"""Stages whose jobs hold a GPU, where the profile gives them one."""


@dataclass(frozen=True)
class Job:
    """One job: the rule that makes it, what it is for, and the jobs that it waits for, by their keys."""

    rule: str
    name: str
    stage: str
    record: Path
    needs: tuple[str, ...] = ()
    spec: RunSpec | ModelSpec | None = None

    @property
    def key(self) -> str:
        return f"{self.rule} {self.name}"

    @property
    def clips(self) -> int:
        """Clips that a fit trains on."""
        return self.spec.recipe.steps * self.spec.recipe.batch_size if self.stage == "fit" else 0


@dataclass(frozen=True)
class Workload:
    """All jobs by key, each after those it needs; `experiments` -> keys of its jobs, with those that they need."""

    jobs: dict[str, Job]
    experiments: dict[str, list[str]]
    done: dict[str, Record] = field(default_factory=dict)
    """The records that are there."""

    def left(self, keys: Iterable[str]) -> list[Job]:
        return [self.jobs[key] for key in keys if key not in self.done]


def workload(study: Study, expansion: Expansion) -> Workload:
    """Every job of a study, local ones apart, and what of them is done."""
    folder = study.directory
    jobs: dict[str, Job] = {}

    def add(rule: str, name: str, stage: str, record: str, needs: Iterable[str] = (), spec=None) -> str:
        job = Job(rule, name, stage, folder / record, tuple(dict.fromkeys(needs)), spec)
        jobs[job.key] = job
        return job.key

    prepared = {}
    for dataset, config in study.datasets.items():
        names = [f"{dataset}.{i}-of-{config.shards}" for i in range(1, config.shards + 1)] if config.shards > 1 else []
        checks = [add("check_videos", name, "prepare", f"checks/{name}.json") for name in names]
        prepared[dataset] = add("prepare", dataset, "prepare", f"manifests/{dataset}.json", checks)
    fitted, scored = {}, {}
    for run, spec in expansion.runs.items():
        rule = spec.task if spec.task in FITTED else "adopt"
        needs = [prepared[spec.dataset], *([fitted[spec.init]] if spec.init else [])]
        stage = "fit" if spec.task in FITTED else "adopt"
        fitted[run] = add(rule, run, stage, f"runs/{run}/fit.json", needs, spec)
        last = "retrieve" if spec.task == "retrieve" else "evaluate"
        scored[run] = add(last, run, last, f"runs/{run}/{last}.json", [prepared[spec.dataset], fitted[run]], spec)
    for model in study.models:
        add("measure", model, "measure", f"measure/{model}.json", spec=model_spec(study, model))
    experiments = {
        name: _with_needs(jobs, (scored[run["run"]] for run in runs)) for name, runs in expansion.experiments.items()
    }
    done = {key: Record.read(job.record) for key, job in jobs.items() if job.record.is_file()}
    return Workload(jobs, experiments, done)


def downloads(study: Study, expansion: Expansion) -> list[Path]:
    """Released weights that a run starts from and that are not there yet."""
    return [path for where in checkpoint_specs(study, expansion).values() if not (path := Path(where.path)).is_file()]


def _with_needs(jobs: dict[str, Job], keys: Iterable[str]) -> list[str]:
    """The keys and all that they need, in the order of `jobs`."""
    wanted, open_ = set(), list(keys)
    while open_:
        key = open_.pop()
        if key not in wanted:
            wanted.add(key)
            open_ += jobs[key].needs
    return [key for key in jobs if key in wanted]
