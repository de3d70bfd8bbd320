"""Stages as processes of their own, alone or several sharing one, and what they leave behind."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import torch

from dynamonet.engine.weights import read_weights
from dynamonet.spec import load_spec

COMMAND = (sys.executable, "-m", "dynamonet.cli")
RESULTS = "model.safetensors", "logits.parquet", "predictions.npz"
ALTERED = str(Path(__file__).with_name("altered_stage.py"))


def start(stage: str, spec_path: Path, *arguments: str, command=COMMAND, environment=None, **options):
    return subprocess.Popen(
        [*command, stage, "--spec", str(spec_path), *arguments],
        env={**os.environ, **(environment or {})},
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def rank_environment(rank: int, count: int, port: int) -> dict[str, str]:
    """What srun says to one of `count` processes, and where the first is."""
    step = {"SLURM_STEP_NUM_TASKS": str(count), "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)}
    return {**step, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


def start_ranks(count: int, stage: str, spec_path: Path, **options) -> list[subprocess.Popen]:
    """The stage shared by processes that look as if srun had started them."""
    port = free_port()
    return [
        start(stage, spec_path, environment=rank_environment(rank, count, port), **options) for rank in range(count)
    ]


def finished(*processes: subprocess.Popen) -> tuple[list[int], list[str]]:
    """Exit status and stderr of each."""
    said = [process.communicate(timeout=100)[1] for process in processes]
    return [process.returncode for process in processes], said


def wait_until(condition, process: subprocess.Popen) -> None:
    while not condition():
        assert process.poll() is None, f"ended too early: {process.stderr.read()}"
        time.sleep(0.002)


def handled(process, number) -> bool:
    """Whether the process has a handler for the signal, as the kernel tells."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (number - 1) & 1)


def with_recipe(spec_path: Path, **settings) -> Path:
    """The spec of another run, whose recipe differs."""
    spec = load_spec(spec_path)
    spec = spec.model_copy(update={"recipe": spec.recipe.model_copy(update=settings)})
    path = spec_path.parents[1] / spec.run / "spec.json"
    spec.save(path)
    return path


def remove_results(spec_path: Path) -> None:
    for path in spec_path.parent.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path != spec_path:
            path.unlink()


def weights_of(spec_path: Path) -> dict[str, torch.Tensor]:
    return read_weights(spec_path.parent)[0]


def assert_same_weights(one, two) -> None:
    assert one.keys() == two.keys()
    for key in one:
        assert torch.equal(one[key], two[key]), key


def log_without_times(spec_path: Path) -> list[dict]:
    lines = [json.loads(line) for line in (spec_path.parent / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("clips_per_s", "data_wait_share")} for line in lines]


def bytes_of_results(spec_path: Path, names: tuple[str, ...] = RESULTS) -> dict[str, bytes]:
    """What must not differ by a bit: files and, times apart, the log."""
    log = json.dumps(log_without_times(spec_path), indent=1)
    return {"log.jsonl": log.encode(), **{name: (spec_path.parent / name).read_bytes() for name in names}}
