"""What a stage leaves behind: one record, with the provenance of its numbers."""

import hashlib
import os
import platform
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

from dynamonet.files import write_json

PROJECT = Path(__file__).resolve().parent.parent
OWN_PACKAGES = ("dynamonet", "baselines")
NAMED_PACKAGES = ("torch", "torchvision", "pytorchvideo", "fvcore", "av", "numpy", "pandas", "safetensors", "snakemake")


class Stopwatch:
    """Wall and CPU seconds since it was made, and those of the processes before that the stage goes on from."""

    def __init__(self):
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
        "packages": _packages(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": device,
        "slurm_job_id": os.environ.get("SLURM_JOB_ID"),
        **content.pop("provenance", {}),
    }
    write_json(path, {"stage": stage, **content, "provenance": provenance})


def code_fingerprint() -> str:
    """Hash of every file of this project that the running stage has imported."""
    digest = hashlib.sha256()
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name.partition(".")[0] in OWN_PACKAGES and file:
            digest.update(name.encode() + b"\0" + Path(file).read_bytes() + b"\0")
    return digest.hexdigest()


def _packages() -> dict[str, str | None]:
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
