"""The demo's training of DynamoNet, as this checkout and another one do it.

    git worktree add /tmp/before COMMIT
    python benchmarks/demo_step.py --before /tmp/before

Both checkouts prepare the demo's Kinetics-400 in a folder of their own, with this Python environment. Every round then
trains the demo's DynamoNet with one and with the other, so that whatever else the machine does falls on both; the
ratio of the medians is the result.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from dynamonet.engine.device import cpu_name

HERE = Path(__file__).resolve().parent.parent
MANIFEST = "results/demo/manifests/kinetics400.parquet"
RUN = "dynamonet-kinetics400.1-s0-*"


class Checkout:
    """A version of the project, and a folder to work in."""

    def __init__(self, code: Path, folder: Path):
        self.folder, self.code = folder, code
        self.environment = {**os.environ, "PYTHONPATH": str(code)}
        folder.mkdir()
        snakemake = [sys.executable, "-m", "snakemake", "--snakefile", str(code / "Snakefile")]
        study = ["--configfile", str(code / "config/demo.yaml"), "--cores", "2", "--quiet", "all"]
        self._run(*snakemake, "specs", MANIFEST, *study)

    def train(self) -> float:
        """Milliseconds of a step, waiting for data apart."""
        (run,) = (self.folder / "results/demo/runs").glob(RUN)
        for left in ("model.safetensors", "fit.json", "log.jsonl"):
            (run / left).unlink(missing_ok=True)
        self._run(sys.executable, "-m", "dynamonet.cli", "train", "--spec", str(run / "spec.json"))
        time, recipe = json.loads((run / "fit.json").read_text())["time"], json.loads((run / "spec.json").read_text())
        return 1e3 * recipe["recipe"]["batch_size"] / time["clips_per_s"] * (1 - time["data_wait_share"])

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{self.code}: {' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--before", type=Path, required=True, help="the other checkout")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="demo-step-"))
    try:
        checkouts = {"before": Checkout(options.before.resolve(), work / "before"), "now": Checkout(HERE, work / "now")}
        step_ms = {name: [] for name in checkouts}
        for _ in range(options.rounds):
            for name, checkout in checkouts.items():
                step_ms[name].append(checkout.train())
    finally:
        shutil.rmtree(work)
    medians = {name: statistics.median(times) for name, times in step_ms.items()}
    print(f"{cpu_name()}, 1 thread; demo's DynamoNet, 16 clips of 16 frames at 48², {options.rounds} rounds\n")
    print("| checkout | commit | step, ms: median (all) |\n|---|---|---|")
    for name, checkout in checkouts.items():
        git = ["git", "-C", str(checkout.code), "rev-parse", "--short", "HEAD"]
        commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
        print(f"| {name} | {commit} | {medians[name]:.1f} ({', '.join(f'{ms:.1f}' for ms in step_ms[name])}) |")
    print(f"\nnow / before: {medians['now'] / medians['before']:.3f}")


if __name__ == "__main__":
    main()
