"""What runs inside a job: the Snakemake command of one job, its signals, and whether it is to be run again.

Free of Snakemake, whose start costs more than everything else here. The contract with the command: SIGUSR2 (the
time limit is near) and SIGTERM (preemption, or the end) reach it; one that can save does so and exits, whatever its
code. A restart runs the same command again.
"""

import hashlib
import math
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from snakemake_executor_plugin_submitit.journal import Journal, idle_restarts

SIGNALS = (signal.SIGUSR2, signal.SIGTERM)
POLL_S = 0.05
REPEAT_SIGNAL_S = 5.0
"""A command that was still starting when the signal came hears it again."""
KILL_MARGIN_S = 15.0
"""A command that does not end is killed this long before the grace time is over (half of it, if that is less), so
that its job can still be requeued."""


@dataclass
class Payload:
    command: str
    workdir: str
    journal: str
    progress_file: str | None
    """A file whose content changes when the command has saved something new."""
    patience: int
    grace_s: float
    environment: dict[str, str]
    """What `launch` needs to know of the job."""

    def __call__(self) -> None:
        """Run the command. Ends the process with the command's exit code if it failed."""
        received: list[int] = []
        before = {number: signal.signal(number, lambda number, frame: received.append(number)) for number in SIGNALS}
        try:
            # submitit's own handler saves this object and has the job requeued.
            self._start_and_end(received, before[signal.SIGUSR2])
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _start_and_end(self, received: list[int], requeue) -> None:
        journal = Journal(Path(self.journal))
        progress = self._progress()
        idle = idle_restarts(journal.read(), progress)
        if idle > self.patience:
            journal.write("stuck", idle_restarts=idle)
            print(f"started {idle} times without progress: not started again", file=sys.stderr)
            sys.exit(1)
        journal.write("start", progress=progress, host=socket.gethostname(), job=job_id(), pid=os.getpid())
        code = self._run(received, journal)
        if code and received and callable(requeue) and not is_cancelled(received):
            journal.write("requeue", signal=signal.Signals(received[0]).name)
            # SLURM ends the step with SIGTERM while submitit still talks to it.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            requeue(signal.SIGUSR2, None)
        journal.write("end", code=code)
        if code:
            sys.exit(code if code > 0 else 128 - code)

    def checkpoint(self):
        """submitit asks what to run after the requeue: the same."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)

    def _run(self, received: list[int], journal: Journal) -> int:
        process = subprocess.Popen(
            # bash waits for the command instead of dying of a SIGTERM that the command handles.
            ["bash", "-c", f"trap : TERM\n{self.command}"],
            cwd=self.workdir,
            env={**os.environ, **self.environment},
            start_new_session=True,
            # A command that knows nothing of SIGUSR2 would die of it.
            preexec_fn=lambda: signal.signal(signal.SIGUSR2, signal.SIG_IGN),
        )
        patience_s = self.grace_s - min(KILL_MARGIN_S, self.grace_s / 2)
        heard, deadline, told_at = 0, math.inf, math.inf
        while (code := process.poll()) is None:
            now = time.monotonic()
            if len(received) > heard:
                journal.write("signal", signal=signal.Signals(received[-1]).name)
                deadline = min(deadline, now + patience_s)
                heard, told_at = len(received), -math.inf
            if now >= deadline:
                journal.write("kill", after_s=round(patience_s))
                os.killpg(process.pid, signal.SIGKILL)
                return process.wait()
            if heard and now - told_at >= REPEAT_SIGNAL_S:
                told_at = now
                os.killpg(process.pid, received[-1])
            time.sleep(POLL_S)
        return code

    def _progress(self) -> str | None:
        try:
            return hashlib.sha256(Path(self.workdir, self.progress_file).read_bytes()).hexdigest()[:16]
        except (OSError, TypeError):
            return None


def job_id() -> str | None:
    """SLURM's id of this job, `12_3` for a task of an array: one task's own number is that of the whole array."""
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        return f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return os.environ.get("SLURM_JOB_ID") or os.environ.get("SUBMITIT_LOCAL_JOB_ID")


def is_cancelled(received: list[int]) -> bool:
    """Whether this job is being ended for good: SIGTERM of scancel and of preemption look alike.

    A SLURM that does not answer is taken for a yes: a cancelled job must not rise from the dead.
    """
    if os.environ.get("SUBMITIT_EXECUTOR") != "slurm":
        return signal.SIGTERM in received
    asked = ["squeue", "--noheader", "--format=%T", f"--jobs={job_id()}"]
    for _ in range(3):
        try:
            done = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=False)
        except subprocess.TimeoutExpired:
            continue
        if done.returncode == 0:
            return done.stdout.strip() not in ("RUNNING", "PREEMPTED", "SUSPENDED")
        time.sleep(1)
    return True
