import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from snakemake_executor_plugin_submitit import payload
from snakemake_executor_plugin_submitit.journal import Journal

# What submitit does with a payload; a requeue that was asked for leaves a file.
DRIVER = """
import json, signal, sys
from pathlib import Path
from snakemake_executor_plugin_submitit import payload

payload.KILL_MARGIN_S, payload.REPEAT_SIGNAL_S = 0.3, 0.4
signal.signal(signal.SIGUSR2, lambda number, frame: Path("requeue-asked").touch())
payload.Payload(**json.loads(sys.argv[1]))()
Path("succeeded").touch()
"""
# Saves at either signal and leaves, as training does.
SAVER = """
import signal, sys, time
from pathlib import Path

def save(number, frame):
    Path("saved").write_text(signal.Signals(number).name)
    sys.exit(75)

signal.signal(signal.SIGUSR2, save)
signal.signal(signal.SIGTERM, save)
Path("running").touch()
time.sleep(60)
"""
SAVE = f"{sys.executable} saver.py"


class Job:
    """A payload in a process of its own."""

    def __init__(self, folder: Path):
        self.folder, self.process = folder, None
        (folder / "saver.py").write_text(SAVER)

    def start(self, command: str, wait: bool = True, executor: str | None = None, **fields) -> None:
        """Start it, and wait until the command says that it runs."""
        content = {
            "command": command,
            "workdir": str(self.folder),
            "journal": str(self.folder / "journal.jsonl"),
            "progress_file": None,
            "patience": 3,
            "grace_s": 30.0,
            "environment": {"SUBMITIT_JOB_NODES": "2"},
        } | fields
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SUBMITIT_"))
        }
        if executor:
            environment |= {"SUBMITIT_EXECUTOR": executor, "SLURM_JOB_ID": "12"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, json.dumps(content)],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        while wait and not self.has("running"):
            assert self.process.poll() is None, self.process.stderr.read()
            time.sleep(0.01)

    def end(self, number: int | None = None) -> int:
        """Send it a signal, if any, and return its exit code once it ends."""
        if number is not None:
            self.process.send_signal(number)
        _, self.stderr = self.process.communicate(timeout=20)
        return self.process.returncode

    def run(self, command: str, **fields) -> int:
        self.start(command, wait=False, **fields)
        return self.end()

    def has(self, name: str) -> bool:
        return (self.folder / name).exists()

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()

    def events(self) -> list[str]:
        return [event["event"] for event in Journal(self.folder / "journal.jsonl").read()]


@pytest.fixture
def job(tmp_path):
    job = Job(tmp_path)
    yield job
    if job.process is not None and job.process.poll() is None:
        for child in psutil.Process(job.process.pid).children(recursive=True):
            child.kill()
        job.process.kill()
        job.process.communicate()


def test_a_command_that_succeeds_ends_the_job_well(job):
    assert job.run('echo "$SUBMITIT_JOB_NODES $PWD" > said') == 0
    assert job.read("said") == f"2 {job.folder}\n"
    assert job.has("succeeded") and not job.has("requeue-asked")
    assert job.events() == ["start", "end"]


def test_the_exit_code_of_the_command_is_that_of_the_job(job):
    assert job.run("exit 3") == 3
    assert not job.has("requeue-asked")
    assert job.events() == ["start", "end"]


def test_a_command_that_was_killed_has_the_exit_code_of_a_shell(job):
    assert job.run("kill -9 $$") == 128 + 9


def test_a_command_saves_when_the_time_limit_is_near_and_is_requeued(job):
    job.start(SAVE)
    assert job.end(signal.SIGUSR2) == 75
    assert job.read("saved") == "SIGUSR2"
    assert job.has("requeue-asked") and not job.has("succeeded")
    assert job.events() == ["start", "signal", "requeue", "end"]


def test_a_command_that_finishes_after_the_signal_is_a_success(job):
    job.start("touch running; sleep 0.5; echo done > finished")
    assert job.end(signal.SIGUSR2) == 0
    assert job.has("finished") and job.has("succeeded")
    assert not job.has("requeue-asked")


def test_a_command_that_knows_nothing_of_the_signal_is_not_killed_by_it(job):
    job.start("touch running; sleep 0.5; exit 4")
    job.end(signal.SIGUSR2)
    # It ran to its end, and only then was its job requeued.
    assert Journal(job.folder / "journal.jsonl").read()[-1]["code"] == 4


def test_a_command_that_was_still_starting_hears_the_signal_again(job):
    # As Python does while it loads: a signal is ignored until there is a handler.
    job.start(f'{sys.executable} -c \'import signal, time; open("running", "w"); time.sleep(1)\'; {SAVE}')
    assert job.end(signal.SIGUSR2) == 75
    assert job.read("saved") == "SIGUSR2"


def test_a_command_that_ignores_the_signal_is_killed_in_time_to_be_requeued(job):
    job.start("sleep 60 & echo $! > sleeper; touch running; wait", grace_s=1.3)
    began = time.monotonic()
    assert job.end(signal.SIGUSR2) == 128 + 9
    assert time.monotonic() - began >= 0.9
    assert job.has("requeue-asked")
    assert job.events() == ["start", "signal", "kill", "requeue", "end"]
    sleeper = int(job.read("sleeper"))
    assert not psutil.pid_exists(sleeper) or psutil.Process(sleeper).status() == psutil.STATUS_ZOMBIE


def test_sigterm_on_this_machine_is_the_end(job):
    job.start(SAVE)
    assert job.end(signal.SIGTERM) == 75
    assert job.read("saved") == "SIGTERM"
    assert not job.has("requeue-asked")
    assert job.events() == ["start", "signal", "end"]


def test_sigterm_ends_a_command_that_knows_nothing_of_it(job):
    job.start("touch running; sleep 60")
    assert job.end(signal.SIGTERM) == 128 + 15
    assert not job.has("requeue-asked")


@pytest.mark.parametrize(
    ("state", "is_requeued"), [("RUNNING", True), ("PREEMPTED", True), ("COMPLETING", False), ("CANCELLED", False)]
)
def test_sigterm_of_a_preemption_is_told_from_that_of_a_cancellation(job, programs, state, is_requeued):
    programs.say("squeue", state)
    job.start(SAVE, executor="slurm")
    assert job.end(signal.SIGTERM) == 75
    assert job.has("requeue-asked") == is_requeued
    assert "--jobs=12" in programs.calls("squeue")[0]


def test_a_job_is_taken_for_cancelled_where_slurm_does_not_answer(programs, monkeypatch):
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setattr(payload, "time", SimpleNamespace(sleep=lambda s: None))
    programs.fail("squeue", "slurm_load_jobs error: Unable to contact slurm controller")
    assert payload.is_cancelled([signal.SIGTERM])
    assert len(programs.calls("squeue")) == 3


def test_a_task_of_an_array_asks_for_itself_and_not_for_the_array(programs, monkeypatch):
    # The number of an array's last task is that of the whole array: squeue would show all of its tasks.
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "12")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    programs.write("squeue", 'case "$*" in *=12_1*) echo RUNNING;; *) echo RUNNING; echo RUNNING;; esac')
    assert not payload.is_cancelled([signal.SIGUSR2])


def test_a_job_that_gets_nowhere_is_not_started_for_ever(job):
    for _ in range(3):
        assert job.run("exit 5", patience=2) == 5
    assert job.run("touch started-again", patience=2) == 1
    assert "started 3 times without progress: not started again" in job.stderr
    assert not job.has("started-again") and not job.has("requeue-asked")


def test_progress_starts_the_count_anew(job):
    (job.folder / "progress").write_text("epoch 1")
    for _ in range(2):
        assert job.run("exit 5", patience=1, progress_file="progress") == 5
    (job.folder / "progress").write_text("epoch 2")
    for _ in range(2):
        assert job.run("exit 5", patience=1, progress_file="progress") == 5
    assert job.run("exit 5", patience=1, progress_file="progress") == 1
    assert job.events()[-1] == "stuck"


def test_a_requeue_runs_the_same_again():
    one = payload.Payload("true", "/", "journal", None, 3, 30, {})
    assert one.checkpoint().function is one
