"""Read a study's records: what was planned, what each run left behind, and which records no longer agree."""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from dynamonet.code_files import CodeOnDisk
from dynamonet.data.manifest import Manifest
from dynamonet.errors import UserError
from dynamonet.records import Record
from dynamonet.report.staleness import Staleness, other_code, other_network, settings_changed
from dynamonet.report.videos import VideoScores

RUN_FIELDS = ("model", "dataset", "split", "label_fraction", "init", "seed")
NUMBERS = {"split": (int,), "seed": (int,), "label_fraction": (int, float)}
PERCENT_METRICS = ("top1", "top5", "mean_class_accuracy")
RETRIEVAL_METRICS = tuple(f"{kind}_r{k}" for kind in ("pooled", "dmr") for k in (1, 5, 10, 20))
GALLERY = ("gallery_used", "gallery_listed")
"""Training videos that were searched, and those that are listed."""
PSNR_METRICS = ("psnr_db", "psnr_copy_db", "psnr_future_db", "psnr_future_copy_db")


@dataclass(frozen=True)
class Study:
    """A study's plan and all its records. `runs` has one row for each run of each experiment.

    The evaluation of a run that is searched with is its record of retrieval; its videos scored are the queries.
    """

    directory: Path
    plan: Record
    manifests: dict[str, Record]
    manifest_hashes: dict[str, str]
    """Of the manifests themselves, where they are there: a record may be of an earlier one."""
    measures: dict[str, Record]
    measured_otherwise: dict[str, str]
    """Of models whose cost was measured with other code or settings than there are now, what differs."""
    fits: dict[str, Record]
    evaluations: dict[str, Record]
    runs: pd.DataFrame

    @cached_property
    def models(self) -> list[str]:
        """Model names in the order in which the experiments list them; unused ones last."""
        return list(dict.fromkeys([*self.runs["model"], *self.plan.get("models")]))

    @cached_property
    def inits(self) -> list[str]:
        return list(dict.fromkeys(["scratch", *self.runs["init"]]))

    @cached_property
    def datasets(self) -> list[str]:
        return list(dict.fromkeys([*self.runs["dataset"], *self.plan.get("datasets")]))

    @cached_property
    def videos(self) -> VideoScores:
        return VideoScores(
            self.directory, self.evaluations, dict(zip(self.runs["run"], self.runs["dataset"], strict=True))
        )

    @cached_property
    def grouped_runs(self) -> dict[tuple[str, tuple[str, ...]], dict[tuple, list[str]]]:
        """What `sources.py` has grouped so far: table and fields -> values of the fields -> runs."""
        return {}

    @cached_property
    def claim_rows(self) -> list[dict[str, Any]]:
        """What `claims.py` has found for the project's ledger; three tables ask for it."""
        return []

    @property
    def experiments(self) -> dict[str, dict[str, Any]]:
        return self.plan.get("experiments")

    def model_title(self, name: str) -> str:
        return self.plan.get("models")[name].get("title", name)

    def dataset_title(self, name: str) -> str:
        return self.plan.get("datasets")[name].get("title", name)

    def runs_feeding(self, table: str) -> pd.DataFrame:
        """Runs of the experiments that name this table, by model; a shared run comes once per experiment."""
        names = [name for name, experiment in self.experiments.items() if table in experiment["tables"]]
        chosen = self.runs[self.runs["experiment"].isin(names)]
        rank = {name: position for position, name in enumerate(self.models)}
        return chosen.sort_values("model", key=lambda column: column.map(rank), kind="stable")

    def arm_labels(self, runs: pd.DataFrame, within: list[str]) -> pd.Series:
        """A readable name for each run's arm; says only what differs among the runs of its group."""
        return pd.concat(self._labels(group) for _, group in runs.groupby(within, sort=False)).loc[runs.index]

    def _labels(self, runs: pd.DataFrame) -> pd.Series:
        labels = runs["model"].map(self.model_title).astype(object)
        if runs["init"].nunique() > 1:
            labels = labels + ", " + runs["init"].map(init_title)
            if "task" in runs:  # logs have none, and only training leaves them
                as_it_is = (runs["task"] == "evaluate") & (runs["init"] != "released")
                labels = labels.where(~as_it_is, labels + ", not trained further")
        if runs["label_fraction"].nunique() > 1:
            labels = labels + runs["label_fraction"].map(lambda fraction: f", {100 * fraction:g} % of labels")
        return labels


def init_title(init: str) -> str:
    return {"scratch": "from scratch", "released": "from released weights"}.get(init, f"after {init}")


def read_study(directory: Path) -> Study:
    directory = Path(directory)
    path = directory / "study.json"
    if not path.is_file():
        raise UserError(f"{path} does not exist: there is no study to report on.")
    plan = Record.read(path)
    names = dict.fromkeys(run["run"] for run in planned_runs(plan))
    manifests = _read_all({name: directory / f"manifests/{name}.json" for name in plan.get("datasets")})
    fits = _read_all({name: directory / f"runs/{name}/fit.json" for name in names})
    tasks = {run["run"]: run["task"] for run in planned_runs(plan)}
    last_stages = {name: "retrieve" if tasks[name] == "retrieve" else "evaluate" for name in names}
    evaluations = _read_all({name: directory / f"runs/{name}/{stage}.json" for name, stage in last_stages.items()})
    datasets = {run["run"]: run["dataset"] for run in planned_runs(plan)}
    code = CodeOnDisk()
    hashes = _manifest_hashes(directory, manifests)
    staleness = Staleness(datasets, hashes, fits, evaluations, code)
    measures = _read_all({name: directory / f"measure/{name}.json" for name in plan.get("models")})
    changed = settings_changed(directory / "runs", names, [name for name in names if name not in fits])
    rows = []
    for run in planned_runs(plan):
        fit, evaluation = fits.get(run["run"]), evaluations.get(run["run"])
        stale = staleness.reasons(run["run"]) if fit or evaluation else []
        why = {"stale": "; ".join(stale), "settings_changed": changed.get(run["run"], "")}
        rows.append({**run, **_outcome(run, fit, evaluation), **why})
    return Study(
        directory=directory,
        plan=plan,
        manifests=manifests,
        manifest_hashes=hashes,
        measures=measures,
        measured_otherwise={
            name: "; ".join(why)
            for name, one in measures.items()
            if (why := list(filter(None, (other_network(one, plan, name), other_code(one, code)))))
        },
        fits=fits,
        evaluations=evaluations,
        runs=pd.DataFrame(rows),
    )


def planned_runs(plan: Record) -> list[dict[str, Any]]:
    """Every run of every experiment, checked to name models and data sets that the study has."""
    planned = []
    for kind, kinds, shared in (("model", "models", "row"), ("data set", "datasets", "column")):
        titles = [named.get("title", name) for name, named in plan.get(kinds).items()]
        if len(set(titles)) < len(titles):
            raise UserError(f"{plan.path}: two {kind}s share a title, and would share a {shared}: give each its own.")
    for experiment, definition in plan.get("experiments").items():
        for run in definition.get("runs", []):
            absent = [key for key in ("run", *RUN_FIELDS) if key not in run]
            if absent:
                raise UserError(f"{plan.path}: a run of experiment '{experiment}' has no '{absent[0]}'.")
            for field in ("model", "dataset"):
                if run[field] not in plan.get(f"{field}s"):
                    raise UserError(f"{plan.path}: run {run['run']} names the unknown {field} '{run[field]}'.")
            for field, kinds in NUMBERS.items():
                if type(run[field]) not in kinds:
                    raise UserError(
                        f"{plan.path}: run {run['run']} has {run[field]!r} as {field}: a number belongs there."
                    )
            identity = {key: run[key] for key in ("run", *RUN_FIELDS)}
            planned.append({"experiment": experiment, "task": definition["task"], **identity})
    if not planned:
        raise UserError(f"{plan.path} plans no run: give one of its experiments a run.")
    return planned


def _read_all(paths: dict[str, Path]) -> dict[str, Record]:
    return {name: Record.read(path) for name, path in paths.items() if path.is_file()}


def _manifest_hashes(directory: Path, manifests: dict[str, Record]) -> dict[str, str]:
    """By data set. A report can be written where only the records have been copied to: theirs count there."""
    hashes = {}
    for name, record in manifests.items():
        path = directory / f"manifests/{name}.parquet"
        hashes[name] = Manifest.load(path).sha256 if path.is_file() else record.get("manifest_sha256")
    return hashes


def _outcome(run: dict[str, Any], fit: Record | None, evaluation: Record | None) -> dict[str, Any]:
    """State, metrics and counts of one run; metrics that it does not have are None."""
    state = "evaluated" if evaluation else "fitted" if fit else "planned"
    outcome: dict[str, Any] = {"state": state, "videos_listed": 0, "videos_scored": 0, **dict.fromkeys(GALLERY, 0)}
    classifies = evaluation is not None and run["task"] in ("train", "evaluate")
    for metric in PERCENT_METRICS:
        wanted = classifies
        if metric == "top5":  # left out where there are five classes or fewer
            wanted = wanted and evaluation.find("metrics.top5") is not None
        value = _percent(evaluation, f"metrics.{metric}") if wanted else math.nan
        bounds = _bounds(evaluation, metric) if wanted else None
        outcome[f"{metric}_percent"] = value
        for end, bound in zip(("lowest", "highest"), bounds or (value, value), strict=True):
            outcome[f"{metric}_{end}_percent"] = bound
    for metric in RETRIEVAL_METRICS:
        # A network without motion representation has none of its metrics.
        key = "metrics." + metric.replace("_", ".")
        wanted = evaluation is not None and run["task"] == "retrieve" and evaluation.find(key) is not None
        outcome[f"{metric}_percent"] = _percent(evaluation, key) if wanted else math.nan
    for metric in PSNR_METRICS:
        predicts = evaluation is not None and evaluation.find("metrics.psnr_db") is not None
        outcome[metric] = evaluation.number(f"metrics.{metric}") if predicts else math.nan
    if evaluation is not None:
        outcome["videos_listed"] = int(evaluation.number("counts.listed"))
        scored = "counts.queried" if run["task"] == "retrieve" else "counts.scored"
        outcome["videos_scored"] = int(evaluation.number(scored))
    if evaluation is not None and run["task"] == "retrieve":
        outcome |= {name: int(evaluation.number(f"counts.{name}")) for name in GALLERY}
    return outcome


def _bounds(record: Record, metric: str) -> tuple[float, float] | None:
    """The lowest and highest possible value in %; None where every listed video was scored."""
    key = f"metrics.bounds.{metric}"
    bounds = record.find(key)
    if bounds is None:
        return None
    numbers = isinstance(bounds, list) and all(type(bound) in (int, float) for bound in bounds)
    if not numbers or len(bounds) != 2 or not 0 <= bounds[0] <= bounds[1] <= 1:
        raise UserError(f"{record.path} holds {bounds!r} at '{key}', where [lowest, highest] belong, within 0 to 1.")
    return 100 * bounds[0], 100 * bounds[1]


def _percent(record: Record, key: str) -> float:
    share = record.number(key)
    if not 0 <= share <= 1:
        raise UserError(f"{record.path} holds {share} at '{key}', which lies outside 0 to 1.")
    return 100 * share
