"""What a stage leaves behind: one record, with the provenance of its numbers. Free of torch."""

import json
import os
import platform
import subprocess
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from dynamonet.code_files import PROJECT, code_fingerprint, imported_code, note_code
from dynamonet.errors import UserError
from dynamonet.files import write_json

NAMED_PACKAGES = ("torch", "torchvision", "pytorchvideo", "fvcore", "av", "numpy", "pandas", "safetensors", "snakemake")


class Stopwatch:
    """Wall and CPU seconds since it was made, and those of the processes before that the stage goes on from.

    A stage makes it first of all: the code that is imported by then is noted as it is.
    """

    def __init__(self):
        note_code()
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def go_on_from(self, earlier: dict[str, float]) -> None:
        """Count what `read` said in another process as well."""
        self.wall -= earlier["wall_s"]
        self.cpu -= earlier["cpu_s"]

    def read(self) -> dict[str, float]:
        return {
            "wall_s": round(time.perf_counter() - self.wall, 3),
            "cpu_s": round(time.process_time() - self.cpu, 3),
        }


def write_record(path: Path, stage: str, *, device: str, **content) -> None:
    """Write the record of a stage, atomically, adding where its numbers came from.

    `content` is JSON: metrics, counts, time and whatever else identifies the stage's inputs.
    """
    provenance = {
        "git_commit": _git("rev-parse", "HEAD"),
        "git_dirty": _git_dirty(),
        "code_sha256": code_fingerprint(),
        "code": imported_code(),
        "packages": installed_packages(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": device,
        "slurm_job_id": os.environ.get("SLURM_JOB_ID"),
        **content.pop("provenance", {}),
    }
    write_json(path, {"stage": stage, **content, "provenance": provenance})


def installed_packages() -> dict[str, str | None]:
    """Versions of the packages that numbers depend on; None where one is not installed."""
    versions = {}
    for name in NAMED_PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return versions


def _git(*arguments: str) -> str | None:
    """Output of git in the project's folder; None where there is no git or no repository."""
    try:
        done = subprocess.run(["git", *arguments], cwd=PROJECT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _git_dirty() -> bool | None:
    """Whether tracked code differs from the commit; results are written by the stages themselves."""
    status = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!results")
    return None if status is None else bool(status)


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

    def mapping(self, dotted_key: str) -> dict[str, Any]:
        value = self.get(dotted_key)
        if not isinstance(value, dict):
            raise UserError(f"{self.path} holds {value!r} at '{dotted_key}', where names with values belong.")
        return value

    def number(self, dotted_key: str) -> float:
        value = self.get(dotted_key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UserError(f"{self.path} holds {value!r} at '{dotted_key}', where a number belongs.")
        return float(value)
