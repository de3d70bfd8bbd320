"""A folder with a workflow in it, and Snakemake run there on the test cluster."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

HEAD = """
from snakemake_executor_plugin_submitit.holder import announce_holders
announce_holders(workflow)
localrules: all
"""
TRAINER = '''
"""Works until it has been told to stop as often as its second argument says; saves how often that was."""
import pathlib, signal, sys, time
out, wanted = pathlib.Path(sys.argv[1]), int(sys.argv[2])
state, told = out.with_suffix(".state"), []
for number in (signal.SIGTERM, signal.SIGUSR2):
    signal.signal(number, lambda number, frame: told.append(number))
stops = int(state.read_text()) if state.exists() else 0
print(f"from {stops}", flush=True)
while stops < wanted and not told:
    time.sleep(0.1)
if stops < wanted:
    state.write_text(str(stops + 1))
    print(f"saved at {stops + 1}", flush=True)
    sys.exit(75)
out.write_text("done")
'''
HELD = """
rule all:
    input: expand("out/{i}.txt", i=range(4))
rule one:
    output: "out/{i}.txt"
    resources: runtime=10, mem_mb=100, cpus_per_task=2
    shell:
        "echo $SLURMD_NODENAME >> starts.{wildcards.i}; until test -e release; do sleep 0.2; done; "
        "echo {wildcards.i} > {output}"
"""
"""Four jobs, at most two of them on a node: each notes its start, and ends when the test says so."""
ARGUMENTS = ("--executor", "submitit", "--jobs", "100", "--seconds-between-status-checks", "1", "--rerun-incomplete")


class Workflow:
    """A Snakefile, and Snakemake on it: `run` to its end, `start` in the background."""

    def __init__(self, folder: Path, cluster):
        self.folder, self.cluster = folder, cluster
        self.environment = {
            **os.environ,
            **cluster.env,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        self.started: list[subprocess.Popen] = []
        self.code: int | None = None
        """Exit code of the last Snakemake that was waited for."""

    def write(self, text: str) -> None:
        (self.folder / "Snakefile").write_text(HEAD + text)
        (self.folder / "trainer.py").write_text(TRAINER)

    def start(self, *arguments: str, always: tuple[str, ...] = ARGUMENTS) -> subprocess.Popen:
        """Start Snakemake in the background; what it says goes to the file `output`."""
        output = self.folder / f"snakemake-{len(self.started)}.log"
        with output.open("w") as log:
            process = subprocess.Popen(
                ["snakemake", *arguments, *always],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # What is started in the background of a shell script ignores Ctrl-C, and so would this.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )
        process.output = output
        self.started.append(process)
        return process

    def run(self, *arguments: str, timeout_s: float = 400) -> str:
        """Run Snakemake to its end; returns what it said."""
        return self.wait(self.start(*arguments), timeout_s)

    def wait(self, process: subprocess.Popen, timeout_s: float = 400) -> str:
        try:
            self.code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            pytest.fail(f"Snakemake did not end; queue: {self.queue('--states=all')}\n{process.output.read_text()}")
        return process.output.read_text()

    def queue(self, *options: str) -> list[tuple[str, str, str]]:
        """(job id, state, name) of every job whose folder this is."""
        text = self.cluster.run("squeue", "--noheader", "--array", *options, "--format=%i|%T|%j|%Z")
        rows = (line.rsplit("|", 3) for line in text.splitlines())
        return [(job, state, name) for job, state, name, folder in rows if folder == str(self.folder)]

    def until(self, condition, what: str, timeout_s: float = 300):
        """Wait for a condition; returns its value."""
        end = time.monotonic() + timeout_s
        while not (value := condition()):
            if time.monotonic() > end:
                said = "\n".join(process.output.read_text() for process in self.started)
                pytest.fail(f"waited in vain for {what}; queue: {self.queue('--states=all')}\n{said}")
            time.sleep(0.2)
        return value

    def running(self, count: int) -> None:
        self.until(lambda: sum(state == "RUNNING" for _, state, _ in self.queue()) >= count, f"{count} running jobs")

    def nodes(self) -> list[list[str]]:
        """Of each of the HELD jobs: the node of every start."""
        return [self.lines(f"starts.{i}") for i in range(4)]

    def starts(self) -> list[int]:
        return [len(nodes) for nodes in self.nodes()]

    def begun(self) -> None:
        """Wait until all HELD jobs are at work."""
        self.until(lambda: all(self.starts()), "the four jobs to start")

    def release(self) -> None:
        (self.folder / "release").touch()

    def says(self, process: subprocess.Popen, text: str, times: int = 1) -> None:
        """Wait until Snakemake has said a text that often."""
        self.until(lambda: process.output.read_text().count(text) >= times, f"{text!r}, {times} times")

    def lines(self, name: str | Path) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def log_of(self, rule: str) -> str:
        """What the jobs of a rule have said so far."""
        logs = sorted(self.folder.glob(f".snakemake/submitit/{rule}/*/*_log.out"))
        return "".join(path.read_text() for path in logs)

    def end(self) -> None:
        """Leave neither process nor job behind."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()
        left = sorted({job for job, _, _ in self.queue()})
        if left:
            self.cluster.run("scancel", "--signal=KILL", *left)
            self.cluster.run("scancel", *left)
            self.until(lambda: not self.queue(), "the jobs to be gone")
