"""What became of jobs: one question to SLURM for all of them, or a look at this machine's processes. Free of Snakemake.

squeue is asked first; sacct only for jobs that squeue has forgotten, so that a cluster without accounting works too.
"""

import os
import signal
import subprocess
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

ALIVE = {
    "PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESIZING",
    "RESV_DEL_HOLD", "SIGNALING", "SPECIAL_EXIT", "STAGE_OUT", "STOPPED", "SUSPENDED",
}  # fmt: skip
LOST = {"NODE_FAIL", "PREEMPTED", "BOOT_FAIL"}
"""Ended through no fault of the job's, on a cluster that does not requeue: worth another submission."""
ANSWER_WITHIN_S = 60
JOBS_PER_QUESTION = 1000
UNKNOWN_ID = "Invalid job id specified"
BUSY = (
    "Unable to contact slurm controller",
    "Socket timed out",
    "Connection refused",
    "Connection timed out",
    "Resource temporarily unavailable",
    "Slurm temporarily unable to accept job",
    "Zero Bytes were transmitted",
    "Transport endpoint",
    "Communication connection failure",
)
"""Complaints of a controller that is down or busy, which are waited out."""


class Unavailable(Exception):
    """The scheduler gave no answer; nothing is known about any job."""


@dataclass(frozen=True)
class State:
    name: str
    """SLURM's name of the state, in full."""
    reason: str = ""
    exit_code: str = ""

    @property
    def alive(self) -> bool:
        return self.name in ALIVE


def ask(*command: str) -> str:
    """Output of a SLURM command. Raises Unavailable if it fails or does not answer in time."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_WITHIN_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{command[0]} did not answer within {ANSWER_WITHIN_S} s") from error
    except OSError as error:
        raise Unavailable(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        raise Unavailable(f"{command[0]}: {done.stderr.strip() or f'exit code {done.returncode}'}")
    return done.stdout


class Slurm:
    """The cluster."""

    def states(self, job_ids: Collection[str]) -> dict[str, State]:
        """The state of each job that SLURM still knows. Raises Unavailable."""
        found: dict[str, State] = {}
        for some in _chunks(sorted(job_ids), JOBS_PER_QUESTION):
            found |= self._queue(some)
        forgotten = sorted(set(job_ids) - found.keys())
        for some in _chunks(forgotten, JOBS_PER_QUESTION):
            found |= self._accounts(some)
        return found

    def _queue(self, job_ids: list[str]) -> dict[str, State]:
        ids = ",".join(job_ids)
        try:
            text = ask("squeue", "--noheader", "--array", "--states=all", f"--jobs={ids}", "--format=%i|%T|%r")
        except Unavailable as error:
            # What squeue says of a single job that it has forgotten.
            if UNKNOWN_ID in str(error):
                return {}
            raise
        rows = (line.split("|", 2) for line in text.splitlines() if line.count("|") >= 2)
        return {job: State(name, reason) for job, name, reason in rows if job in job_ids}

    def _accounts(self, job_ids: list[str]) -> dict[str, State]:
        try:
            text = ask(
                "sacct", "--noheader", "--parsable2", "--allocations", "--duplicates", f"--jobs={','.join(job_ids)}",
                "--format=JobID,State,ExitCode",
            )  # fmt: skip
        except Unavailable as error:
            if "accounting" in str(error).lower():
                return {}
            raise
        # The last of a job's rows is its last run.
        rows = (line.split("|") for line in text.splitlines())
        return {job: State(name.split()[0], exit_code=code) for job, name, code in rows if job in job_ids and name}

    def details(self, job_id: str) -> State | None:
        """State, reason and exit code of one job, as far as SLURM still knows it."""
        try:
            text = ask("scontrol", "--oneliner", "show", "job", job_id)
        except Unavailable:
            try:
                return self._accounts([job_id]).get(job_id)
            except Unavailable:
                return None
        fields = dict(word.split("=", 1) for word in text.split() if "=" in word)
        return State(fields.get("JobState", ""), fields.get("Reason", ""), fields.get("ExitCode", ""))

    def with_comment(self, comment: str) -> str | None:
        """Id of the job or job array of this user that was submitted with a comment. Raises Unavailable."""
        text = ask("squeue", "--noheader", "--states=all", f"--user={os.getuid()}", "--format=%F|%k")
        for line in text.splitlines():
            job_id, _, found = line.partition("|")
            if found == comment:
                return job_id
        return None

    def cancel(self, job_ids: Iterable[str]) -> None:
        for some in _chunks(sorted(job_ids), JOBS_PER_QUESTION):
            try:
                ask("scancel", *some)
            except Unavailable as error:
                # Of the jobs, some have ended meanwhile; the others are cancelled all the same.
                if UNKNOWN_ID not in str(error) and "already completing or completed" not in str(error):
                    raise


class Local:
    """This machine: a job is the process that submitit started for it, and its id is that of the process."""

    def states(self, job_ids: Collection[str]) -> dict[str, State]:
        return {job_id: State("RUNNING" if _is_submitit(job_id) else "FAILED") for job_id in job_ids}

    def details(self, job_id: str) -> State | None:
        return State("FAILED")

    def with_comment(self, comment: str) -> str | None:
        return None

    def cancel(self, job_ids: Iterable[str]) -> None:
        for job_id in filter(_is_submitit, job_ids):
            os.kill(int(job_id), signal.SIGTERM)


def _is_submitit(job_id: str) -> bool:
    """Whether the process is still the one of submitit's, and not a dead one that nobody has waited for."""
    process = Path("/proc", job_id)
    try:
        state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z" and b"submitit" in (process / "cmdline").read_bytes()
    except OSError:
        return False


def is_busy(message: str) -> bool:
    return any(complaint in message for complaint in BUSY)


def _chunks(items: list[str], size: int) -> Iterable[list[str]]:
    return (items[start : start + size] for start in range(0, len(items), size))


class Patience:
    """When to ask the scheduler again: soon while jobs come and go, more seldom while nothing changes."""

    def __init__(self, least_s: float, most_s: float):
        self.least_s, self.most_s = least_s, max(least_s, most_s)
        self.wait_s, self.due_at = least_s, 0.0

    def is_due(self) -> bool:
        return time.monotonic() >= self.due_at

    def hurry(self) -> None:
        """Something is new: ask soon, whatever the wait has grown to."""
        self.wait_s = self.least_s
        self.due_at = min(self.due_at, time.monotonic() + self.least_s)

    def asked(self, changed: bool) -> None:
        self.wait_s = self.least_s if changed else min(self.most_s, 1.5 * self.wait_s)
        self.due_at = time.monotonic() + self.wait_s
