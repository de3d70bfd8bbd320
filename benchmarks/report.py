"""What a report costs: `dynamonet report` on studies of more and more runs, from their records alone.

    python benchmarks/report.py --runs 500 1000 2000

The studies are those of the report's tests, with every table and figure: twelve models on seven splits of three data
sets with as many seeds as it takes, an ablation, label fractions, pretraining, retrieval. A run has the record of its
fit and of its evaluation, its log and the scores of `--videos` videos. The command is started anew for each study: its
start, and figures that cost the same whatever the number of runs, are in every row; the last column is what each run
more than in the row before adds. CPU time is that of all threads. Where a disk is slow to sync, writing the records
takes longer than the report: TMPDIR=/dev/shm is quick.
"""

import argparse
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from dynamonet.engine.device import device_name

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/report"))

import synthetic_study


def study_of(runs: int) -> dict:
    """The tests' study with enough seeds for at least so many runs."""
    study = synthetic_study.plan(models=len(synthetic_study.TITLES), datasets=len(synthetic_study.DATASETS))
    splits = [(name, split) for name, dataset in study["datasets"].items() for split in dataset["splits"]]
    seeds = math.ceil(runs / len(study["models"]) / len(splits))
    study["seeds"] = list(range(seeds))
    study["experiments"]["main"]["runs"] = [
        synthetic_study.planned_run(model, dataset, split, seed)
        for model in study["models"]
        for dataset, split in splits
        for seed in study["seeds"]
    ]
    return study


def report_s(folder: Path) -> tuple[float, float]:
    """CPU and wall seconds of the command. Raises CalledProcessError if it fails."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "dynamonet.cli", "report", "--spec", str(folder / "study.json")]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    wall_s, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, nargs="+", default=[500, 1000, 2000])
    parser.add_argument("--videos", type=int, default=synthetic_study.SCORED, help="scored videos of a run")
    options = parser.parse_args()
    synthetic_study.SCORED = options.videos
    print(
        f"{device_name(torch.device('cpu'))}; {options.videos} videos of {len(synthetic_study.CLASSES)} classes a run"
    )
    print("\n| runs | CPU s | ms per run | wall s | ms of each further run |\n|---|---|---|---|---|")
    earlier = None
    for wanted in options.runs:
        with tempfile.TemporaryDirectory() as folder:
            synthetic_study.write_study(Path(folder), study_of(wanted))
            runs = sum(1 for _ in Path(folder, "runs").iterdir())
            cpu_s, wall_s = report_s(Path(folder))
        further = f"{1000 * (cpu_s - earlier[1]) / (runs - earlier[0]):.1f}" if earlier else "–"
        print(f"| {runs} | {cpu_s:.1f} | {1000 * cpu_s / runs:.1f} | {wall_s:.1f} | {further} |", flush=True)
        earlier = runs, cpu_s


if __name__ == "__main__":
    main()
