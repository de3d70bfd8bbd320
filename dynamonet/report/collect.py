"""Read a study's records: what was planned, what each run left behind, and which records no longer agree."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from dynamonet.errors import UserError

RUN_FIELDS = ("model", "dataset", "split", "label_fraction", "init", "seed")
PERCENT_METRICS = ("top1", "top5", "mean_class_accuracy")
PSNR_METRICS = ("psnr_db", "psnr_copy_db", "psnr_future_db", "psnr_future_copy_db")


def _reject_constant(text: str) -> float:
    raise ValueError(f"{text} is not a number that JSON knows")


def parse_json(text: str | bytes, where: str) -> Any:
    try:
        return json.loads(text, parse_constant=_reject_constant)
    except ValueError as error:
        raise UserError(f"{where} is not valid JSON ({error}): run the stage that writes it again.") from error


@dataclass(frozen=True)
class Record:
    """One JSON file; a key that is absent is an error that names the file."""

    path: Path
    content: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> "Record":
        content = parse_json(path.read_bytes(), str(path))
        if not isinstance(content, dict):
            raise UserError(f"{path} holds no JSON object: run the stage that writes it again.")
        return cls(path, content)

    def find(self, dotted_key: str) -> Any:
        """The value, or None where the record leaves it out."""
        value: Any = self.content
        for key in dotted_key.split("."):
            if not isinstance(value, dict):
                return None
            value = value.get(key)
        return value

    def get(self, dotted_key: str) -> Any:
        value = self.find(dotted_key)
        if value is None:
            raise UserError(f"{self.path} has no value at '{dotted_key}': run the stage that writes it again.")
        return value

    def number(self, dotted_key: str) -> float:
        value = self.get(dotted_key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UserError(f"{self.path} holds {value!r} at '{dotted_key}', where a number belongs.")
        return float(value)


@dataclass(frozen=True)
class Study:
    """A study's plan and all its records. `runs` has one row for each run of each experiment."""

    directory: Path
    plan: Record
    manifests: dict[str, Record]
    measures: dict[str, Record]
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
        if runs["label_fraction"].nunique() > 1:
            labels = labels + runs["label_fraction"].map(lambda fraction: f", {100 * fraction:g} % of labels")
        return labels


def init_title(init: str) -> str:
    return "from scratch" if init == "scratch" else f"after {init}"


def read_study(directory: Path) -> Study:
    directory = Path(directory)
    path = directory / "study.json"
    if not path.is_file():
        raise UserError(f"{path} does not exist: there is no study to report on.")
    plan = Record.read(path)
    names = dict.fromkeys(run["run"] for run in planned_runs(plan))
    manifests = _read_all({name: directory / f"manifests/{name}.json" for name in plan.get("datasets")})
    fits = _read_all({name: directory / f"runs/{name}/fit.json" for name in names})
    evaluations = _read_all({name: directory / f"runs/{name}/evaluate.json" for name in names})
    datasets = {run["run"]: run["dataset"] for run in planned_runs(plan)}
    rows = []
    for run in planned_runs(plan):
        fit, evaluation = fits.get(run["run"]), evaluations.get(run["run"])
        stale = stale_reasons(run, datasets, manifests, fits, evaluation) if fit or evaluation else []
        rows.append({**run, **_outcome(run, fit, evaluation), "stale": "; ".join(stale)})
    return Study(
        directory=directory,
        plan=plan,
        manifests=manifests,
        measures=_read_all({name: directory / f"measure/{name}.json" for name in plan.get("models")}),
        fits=fits,
        evaluations=evaluations,
        runs=pd.DataFrame(rows),
    )


def planned_runs(plan: Record) -> list[dict[str, Any]]:
    """Every run of every experiment, checked to name models and data sets that the study has."""
    planned = []
    titles = [model.get("title", name) for name, model in plan.get("models").items()]
    if len(set(titles)) < len(titles):
        raise UserError(f"{plan.path}: two models share a title, and would share a row: give each its own.")
    for experiment, definition in plan.get("experiments").items():
        for run in definition.get("runs", []):
            absent = [key for key in ("run", *RUN_FIELDS) if key not in run]
            if absent:
                raise UserError(f"{plan.path}: a run of experiment '{experiment}' has no '{absent[0]}'.")
            for field in ("model", "dataset"):
                if run[field] not in plan.get(f"{field}s"):
                    raise UserError(f"{plan.path}: run {run['run']} names the unknown {field} '{run[field]}'.")
            identity = {key: run[key] for key in ("run", *RUN_FIELDS)}
            planned.append({"experiment": experiment, "task": definition["task"], **identity})
    if not planned:
        raise UserError(f"{plan.path} plans no run: give one of its experiments a run.")
    return planned


def stale_reasons(
    run: dict[str, Any],
    datasets: dict[str, str],
    manifests: dict[str, Record],
    fits: dict[str, Record],
    evaluation: Record | None,
) -> list[str]:
    """Why this run's records no longer follow from the files they were made from; empty when they do."""
    fit = fits.get(run["run"])
    if fit is None:
        return ["evaluated, but fit.json is gone"]
    reasons = []
    manifest = manifests.get(run["dataset"])
    for done, record in (("fitted", fit), ("evaluated", evaluation)):
        if record is None:
            continue
        if manifest is None or manifest.get("manifest_sha256") != record.get("provenance.manifest_sha256"):
            reasons.append(f"{done} on another manifest")
    init = fit.find("provenance.init")
    if init is not None and "run" in init:  # a checkpoint that others released is named by its checksum
        parent = fits.get(init["run"])
        if parent is None or parent.get("weights_sha256") != init["weights_sha256"]:
            reasons.append(f"started from other weights than {init['run']} has now")
        elif stale_reasons({"run": init["run"], "dataset": datasets[init["run"]]}, datasets, manifests, fits, None):
            reasons.append(f"started from {init['run']}, which is stale")
    if evaluation is not None and evaluation.get("weights_sha256") != fit.get("weights_sha256"):
        reasons.append("evaluated other weights than the fit left")
    return reasons


def _read_all(paths: dict[str, Path]) -> dict[str, Record]:
    return {name: Record.read(path) for name, path in paths.items() if path.is_file()}


def _outcome(run: dict[str, Any], fit: Record | None, evaluation: Record | None) -> dict[str, Any]:
    """State, metrics and counts of one run; metrics that it does not have are None."""
    state = "evaluated" if evaluation else "fitted" if fit else "planned"
    outcome: dict[str, Any] = {"state": state, "videos_listed": 0, "videos_scored": 0}
    for metric in PERCENT_METRICS:
        wanted = evaluation is not None and run["task"] == "train"
        if metric == "top5":  # left out where there are five classes or fewer
            wanted = wanted and evaluation.find("metrics.top5") is not None
        outcome[f"{metric}_percent"] = _percent(evaluation, f"metrics.{metric}") if wanted else float("nan")
    for metric in PSNR_METRICS:
        predicts = evaluation is not None and evaluation.find("metrics.psnr_db") is not None
        outcome[metric] = evaluation.number(f"metrics.{metric}") if predicts else float("nan")
    if evaluation is not None:
        outcome["videos_listed"] = int(evaluation.number("counts.listed"))
        outcome["videos_scored"] = int(evaluation.number("counts.scored"))
    return outcome


def _percent(record: Record, key: str) -> float:
    share = record.number(key)
    if not 0 <= share <= 1:
        raise UserError(f"{record.path} holds {share} at '{key}', which lies outside 0 to 1.")
    return 100 * share
