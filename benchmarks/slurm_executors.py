"""This project's Snakemake executor beside snakemake-executor-plugin-slurm: no-op jobs on one SLURM cluster.

    python benchmarks/slurm_executors.py [--jobs 200] [--variants ours official-tuned ...]

Brings up the test cluster (root, Debian's SLURM packages), gives every executor a Python environment in which it is
the only one, runs the variants one after the other and prints a table. The time of a no-op job is that of Snakemake
starting inside it; that, calls of the scheduler and the main process are what the executors differ in.
"""

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from slurm_cluster import Cluster  # noqa: E402

from dynamonet.engine.device import cpu_name  # noqa: E402

OFFICIAL = ("snakemake-executor-plugin-slurm==2.8.0", "snakemake-executor-plugin-slurm-jobstep==0.6.1")
CALLS = ("sbatch", "squeue", "sacct", "scontrol", "sinfo", "scancel")
POLL_S = 2
SNAKEFILE = """
rule all:
    input: expand("out/{i}", i=range(JOBS))
localrules: all
rule nothing:
    output: "out/{i}"
    resources: runtime=10, mem_mb=100, cpus_per_task=1, slurm_partition="gpu", slurm_account="bench"
    shell: "touch {output}"
"""
TUNED = ("--slurm-init-seconds-before-status-checks", str(POLL_S), "--seconds-between-status-checks", str(POLL_S))
VARIANTS = {
    "ours": ("submitit", ("--seconds-between-status-checks", str(POLL_S))),
    "ours, no arrays": (
        "submitit",
        ("--seconds-between-status-checks", str(POLL_S), "--submitit-max-array", "1"),
    ),
    "official, tuned": ("slurm", TUNED),
    "official, defaults": ("slurm", ()),
}


def environment_with(folder: Path, packages: tuple[str, ...], paths: tuple[Path, ...]) -> Path:
    """A Python environment with this one's packages, `packages` and `paths`, and no editable install; its python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    # A path that is added this way has its own .pth files ignored, editable installs among them.
    (site / "paths.pth").write_text("".join(f"{path}\n" for path in (*paths, sysconfig.get_path("purelib"))))
    if packages:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, *packages]
        subprocess.run(pip, check=True)
    return folder / "bin" / "python"


def count_calls(folder: Path, log: Path, cluster: Cluster) -> Path:
    """Programs that note a call from outside a job and then are SLURM's own. Returns their folder."""
    folder.mkdir()
    for name in (*CALLS, "srun"):
        lines = [
            "#!/bin/sh",
            f'[ -n "$SLURM_JOB_ID" ] || echo {name} >> {log}',
            # The official executor removes all of SLURM's variables, and with them the way to the test cluster.
            *(f"export {key}={value}" for key, value in cluster.env.items()),
            f'exec {shutil.which(name)} "$@"',
        ]
        (folder / name).write_text("\n".join(lines) + "\n")
        (folder / name).chmod(0o755)
    return folder


class Peak:
    """Largest resident memory of a process, sampled."""

    def __init__(self, pid: int):
        self.process, self.mb, self.cpu_s = psutil.Process(pid), 0.0, 0.0
        self.thread = threading.Thread(target=self._sample, daemon=True)
        self.thread.start()

    def _sample(self) -> None:
        try:
            while self.process.status() != psutil.STATUS_ZOMBIE:
                self.mb = max(self.mb, self.process.memory_info().rss / 2**20)
                times = self.process.cpu_times()
                self.cpu_s = times.user + times.system + times.children_user + times.children_system
                time.sleep(0.25)
        except psutil.NoSuchProcess:
            pass


def run(name: str, python: Path, jobs: int, cluster: Cluster, folder: Path) -> dict:
    executor, options = VARIANTS[name]
    folder.mkdir()
    (folder / "Snakefile").write_text(SNAKEFILE.replace("JOBS", str(jobs)))
    calls = folder / "calls"
    shims = count_calls(folder / "shims", calls, cluster)
    environment = {
        **os.environ,
        **cluster.env,
        "PATH": f"{shims}{os.pathsep}{python.parent}{os.pathsep}{os.environ['PATH']}",
    }
    began = time.monotonic()
    first = time.strftime("%Y-%m-%dT%H:%M:%S")
    command = [python, "-m", "snakemake", "--executor", executor, "--jobs", str(jobs), *options]
    command += ["--max-jobs-per-timespan", f"{jobs}/1s", "all"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        peak = Peak(process.pid)
        code = process.wait()
    wall_s = time.monotonic() - began
    made = len(list(folder.glob("out/*")))
    if code or made != jobs:
        print(f"{name}: exit code {code}, {made} of {jobs} outputs; see {folder / 'log'}", file=sys.stderr)
    time.sleep(3)  # accounting lags behind
    text = cluster.run("sacct", "--noheader", "--parsable2", f"--starttime={first}", "--format=JobID,TotalCPU")
    in_jobs_s = sum(seconds(row.split("|")[1]) for row in text.splitlines() if "." not in row.split("|")[0])
    made_calls = calls.read_text().split() if calls.exists() else []
    counted = {call: made_calls.count(call) for call in CALLS if call in made_calls}
    return {
        "variant": name,
        "jobs": jobs,
        "outputs": made,
        "wall, s": round(wall_s, 1),
        "CPU in SLURM per job, s": round(in_jobs_s / jobs, 2),
        "CPU of Snakemake per job, s": round(peak.cpu_s / jobs, 3),
        "memory of Snakemake, MB": round(peak.mb),
        "scheduler calls": sum(counted.values()),
        "of these": ", ".join(f"{count} {call}" for call, count in counted.items()),
    }


def seconds(text: str) -> float:
    """sacct's [days-][hours:]minutes:seconds."""
    days, _, rest = text.rpartition("-")
    total = 0.0
    for part in rest.split(":"):
        total = 60 * total + float(part)
    return total + 86400 * int(days or 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    work = Path(tempfile.mkdtemp(prefix="executors-", dir="/tmp"))
    pythons = {
        "submitit": environment_with(work / "submitit", (), (ROOT,)),
        "slurm": environment_with(work / "slurm", OFFICIAL, ()),
    }
    with Cluster(root, nodes=4, cpus=1) as cluster:
        cluster.run("sacctmgr", "--immediate", "add", "account", "bench")
        cluster.run("sacctmgr", "--immediate", "add", "user", "root", "account=bench")
        version = cluster.run("sinfo", "--version").strip()
        rows = []
        for index, name in enumerate(options.variants):
            rows.append(run(name, pythons[VARIANTS[name][0]], options.jobs, cluster, work / str(index)))
            print(rows[-1], file=sys.stderr)
    print(f"{cpu_name()}, {os.cpu_count()} cores; {version}; status asked for every {POLL_S} s where tuned\n")
    print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(str(value) for value in row.values()) + " |")


if __name__ == "__main__":
    main()
