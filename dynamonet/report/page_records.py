"""What the page can tell of each record, and which records stand behind each row of a table."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dynamonet.records import Record
from dynamonet.report.collect import Study
from dynamonet.report.sources import IDENTITY, runs_behind
from dynamonet.report.table_files import Table
from dynamonet.run_folder import read_settings

Fact = tuple[str, str, str]
"""Section, label, text."""
LEFT_OUT = ("provenance.code", "provenance.attempts", "counts.unusable", "classes")
"""Long lists: of the code its hash is shown, attempts have a section of their own, videos are told apart."""


@dataclass
class Facts:
    """Records for the page's script. Of 2,000 runs most facts are equal: each distinct one is held once.

    keys: [section, label]; facts: [key, text]; records: by name their title, folder, files and facts.
    """

    keys: list[tuple[str, str]] = field(default_factory=list)
    facts: list[tuple[int, str]] = field(default_factory=list)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    _places: dict[Any, int] = field(default_factory=dict)

    def add(self, name: str, title: str, folder: str, files: list[str], facts: Iterator[Fact]) -> None:
        places = [
            self._place(self.facts, (self._place(self.keys, (section, label)), text)) for section, label, text in facts
        ]
        self.records[name] = {"title": title, "folder": folder, "files": files, "facts": places}

    def _place(self, kept: list, value: tuple) -> int:
        if value not in self._places:
            self._places[value] = len(kept)
            kept.append(value)
        return self._places[value]

    def as_script(self, rows: dict[str, list[list[str]]]) -> str:
        """JSON that can stand in a script element. rows: of each table, per row, the names of its records."""
        places = {name: place for place, name in enumerate(self.records)}
        by_place = {key: [[places[name] for name in names] for names in of_table] for key, of_table in rows.items()}
        content = {"keys": self.keys, "facts": self.facts, "records": self.records, "rows": by_place}
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def study_facts(study: Study) -> Facts:
    """Every run, measurement and manifest of the study. A run that has no record yet has its settings."""
    facts = Facts()
    experiments = study.runs.groupby("run", sort=False)["experiment"].agg(", ".join)
    for run in study.runs.drop_duplicates("run").to_dict("records"):
        name, folder = run["run"], study.directory / "runs" / run["run"]
        stages = [
            (title, of[name]) for title, of in (("Fit", study.fits), ("Evaluation", study.evaluations)) if name in of
        ]
        there = [file for file in ("spec.json", "log.jsonl") if (folder / file).is_file()]
        files = [*there, *(record.path.name for _, record in stages)]
        facts.add(f"run:{name}", name, f"runs/{name}/", files, _run_facts(study, run, experiments[name], stages))
    for model, record in study.measures.items():
        title = f"Measurement of {study.model_title(model)}"
        facts.add(f"measure:{model}", title, "measure/", [record.path.name], _record_facts("Measurement", record))
    for dataset, record in study.manifests.items():
        title = f"Preparation of {study.dataset_title(dataset)}"
        facts.add(f"data:{dataset}", title, "manifests/", [record.path.name], _record_facts("Preparation", record))
    return facts


def row_records(study: Study, table: Table) -> list[list[str]]:
    """Of each readable row the names of the records behind it, as `Facts` has them."""
    tidy = table.tidy.to_dict("records")
    if table.key == "accuracy":  # its readable rows are of several data sets
        behind = [[row for row in tidy if row["arm"] == arm] for arm in table.flat.iloc[:, 0]]
    else:
        behind = [[row] for row in tidy]
    return [list(dict.fromkeys(name for row in rows for name in _behind(study, table.key, row))) for rows in behind]


def _behind(study: Study, key: str, row: dict[str, Any]) -> Iterator[str]:
    if key == "datasets":
        yield from (f"data:{name}" for name in [row["dataset"]] if name in study.manifests)
        return
    runs = _given(study, row) if key == "fairness" else runs_behind(study, key, row)
    if key in ("cost", "runtime") or (key == "claims" and not runs):
        yield from (f"measure:{name}" for name in [row["model"]] if name in study.measures)
    yield from (f"run:{run}" for run in runs)


def _given(study: Study, row: dict[str, Any]) -> list[str]:
    runs = study.runs
    for key in IDENTITY:
        if key in row:
            runs = runs[runs[key] == row[key]]
    return list(dict.fromkeys(runs["run"]))


def _run_facts(study: Study, run: dict[str, Any], experiments: str, stages: list[tuple[str, Record]]) -> Iterator[Fact]:
    yield "State", "state", run["state"]
    yield "State", "experiments", experiments
    for label in ("stale", "settings_changed"):
        if run[label]:
            yield "State", label.replace("_", " "), run[label]
    for title, record in stages:
        unusable = record.find("counts.unusable")
        if unusable:
            yield "State", f"unusable videos ({title.lower()})", str(len(unusable))
    for title, record in stages:
        for number, attempt in enumerate(record.find("provenance.attempts") or [], start=1):
            yield "Attempts", str(number), attempt_text(attempt)
        yield from _record_facts(title, record)
    settings = read_settings(study.directory / "runs" / run["run"])
    yield from (("Settings", label, text) for label, text in _flat(settings or {}))


def attempt_text(attempt: dict[str, Any]) -> str:
    """'step 0 to 40 on node1, job 123, from 2030-01-01T00:00:00Z, stopped by SIGTERM'."""
    to_step = "?" if attempt.get("to_step") is None else attempt["to_step"]
    parts = [f"step {attempt.get('from_step')} to {to_step} on {attempt.get('host')}"]
    if attempt.get("slurm_job_id"):
        parts.append(f"job {attempt['slurm_job_id']}")
    parts.append(f"from {attempt.get('started_at')}")
    if attempt.get("stopped_by"):
        parts.append(f"stopped by {attempt['stopped_by']}")
    elif attempt.get("to_step") is None:
        parts.append("killed")
    return ", ".join(parts)


def _record_facts(title: str, record: Record) -> Iterator[Fact]:
    for label, text in _flat(record.content):
        if label.startswith("provenance."):
            yield f"{title}: where it ran", label.removeprefix("provenance."), text
        else:
            yield title, label, text


def _flat(content: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in content.items():
        label = f"{prefix}{name}"
        if label in LEFT_OUT:
            continue
        if label == "provenance.packages":
            yield label, "; ".join(f"{package} {version or 'absent'}" for package, version in sorted(value.items()))
        elif isinstance(value, dict) and value:
            yield from _flat(value, f"{label}.")
        else:
            yield label, _text(value)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, list) and not any(isinstance(part, dict | list) for part in value):
        return ", ".join(map(_text, value)) or "none"
    return json.dumps(value, ensure_ascii=False)
