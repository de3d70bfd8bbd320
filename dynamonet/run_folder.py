"""What lies in the folder of a run, and which folders are the same run with other settings. Free of torch."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dynamonet.differences import differing
from dynamonet.errors import UserError
from dynamonet.records import Record, parse_json

STAGES = ("fit", "evaluate", "retrieve")
"""The records that stages leave there, without `.json`."""


@dataclass(frozen=True)
class RunFolder:
    """What lies in the folder of a run. Raises UserError if it has no spec."""

    path: Path

    def __post_init__(self):
        if not (self.path / "spec.json").is_file():
            raise UserError(f"{self.path} is no folder of a run: it has no spec.json; name one, or a run of --study")

    @cached_property
    def settings(self) -> dict[str, Any]:
        return read_settings(self.path)

    @cached_property
    def records(self) -> dict[str, Record]:
        paths = {stage: self.path / f"{stage}.json" for stage in STAGES}
        return {stage: Record.read(path) for stage, path in paths.items() if path.is_file()}

    @property
    def study_dir(self) -> Path:
        return self.path.parents[1]

    @property
    def manifest_path(self) -> Path:
        return self.study_dir / "manifests" / f"{self.settings['dataset']}.parquet"

    def log(self) -> dict[int, dict]:
        """The lines of log.jsonl by step; a last one that was cut off is left out."""
        path = self.path / "log.jsonl"
        lines = path.read_text().splitlines(keepends=True) if path.is_file() else []
        rows = [parse_json(line, f"{path}, line {n}") for n, line in enumerate(lines, 1) if line.endswith("\n")]
        return {row["step"]: row for row in rows}


def find_run(name: str, study: Path | None) -> Path:
    """The folder of a run that is given by it, or by its name in a study's folder. Raises UserError if neither is."""
    candidates = [Path(name)] if study is None else [Path(study) / "runs" / name, Path(name)]
    for path in candidates:
        if path.is_dir():
            return path.absolute()
    where = f" under {study}" if study else "; to name it, say --study results/<study>"
    raise UserError(f"there is no run {name}{where}")


def identity(run: str) -> str:
    """A run's name without the hash of its settings: what stays the same when a setting is changed."""
    return run.rpartition("-")[0]


def read_settings(run_dir: Path) -> dict[str, Any] | None:
    """The settings in a run's `spec.json` as they stand there, whatever version wrote them; None without that file."""
    path = run_dir / "spec.json"
    if not path.is_file():
        return None
    return {key: value for key, value in Record.read(path).content.items() if key != "run_name"}


def settings_between(a: Path, b: Path) -> dict[str, tuple[Any, Any]] | None:
    """`differing` of the settings of two run folders; None where one has no spec.

    Where each starts from another run, and these two are the same but for their settings, the settings are named as
    `init:KEY` in the place of the two names.
    """
    left, right = read_settings(a), read_settings(b)
    if left is None or right is None:
        return None
    found = differing(left, right)
    parents = found.get("init")
    if parents and all(isinstance(parent, str) for parent in parents) and len(set(map(identity, parents))) == 1:
        inner = settings_between(a.parent / parents[0], b.parent / parents[1])
        if inner:
            del found["init"]
            found |= {f"init:{key}": pair for key, pair in inner.items()}
    return found


def nearest(run_dir: Path, others: Iterable[Path]) -> Path | None:
    """Of other folders, the one that is this run but for its settings; of several, that with the fewest differences.

    Such a run has the same task, model, data set, split, label fraction, seed and start, which may itself be the same
    but for its settings.
    """
    found, start = {}, _start(run_dir)
    for other in others:
        if start and identity(other.name) == identity(run_dir.name) and _start(other) == start:
            found[other] = len(settings_between(run_dir, other))
    return min(found, key=found.get, default=None)


def _start(run_dir: Path) -> tuple[str, str] | None:
    """The run that a run starts from, without its hash, and the checkpoint; None without a spec."""
    settings = read_settings(run_dir)
    if settings is None:
        return None
    return identity(settings.get("init") or ""), (settings.get("checkpoint") or {}).get("name", "")
