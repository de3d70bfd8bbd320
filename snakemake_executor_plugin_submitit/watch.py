"""From what the files and the scheduler say of a job to what is to be done about it. Free of Snakemake."""

import pickle
import time
from enum import Enum, auto

from snakemake_executor_plugin_submitit.journal import Journal
from snakemake_executor_plugin_submitit.registry import Entry
from snakemake_executor_plugin_submitit.scheduler import LOST, State

SETTLING_S = {"COMPLETED": 30.0, "UNKNOWN": 120.0, **dict.fromkeys(LOST, 60.0)}
"""States that are believed only when they last: a result still on its way through the file system, a job that
accounting does not show yet, one that the cluster is about to requeue."""
REQUEUE_TAKES_S = 60.0
RESUBMISSIONS_IN_VAIN = 3
"""Submissions of a lost job, one after the other, that never got as far as starting it."""
FOR_EVER = (
    "JobHeld",
    "held",
    "PartitionConfig",
    "PartitionNodeLimit",
    "PartitionTimeLimit",
    "BadConstraints",
    "Invalid",
)
"""Parts of SLURM's reasons for waiting that do not go away by themselves."""
LOG_TAIL_LINES = 12
EVERY_JOB_SAYS = (
    "submitit INFO",
    "Building DAG of jobs",
    "Using shell:",
    "Select jobs to execute",
    "Execute 1 jobs",
    "Shutting down, this might take",
    "Exiting because a job execution failed",
    "Storing output in storage",
    "Elapsed time:",
    "At least one job did not complete",
)
"""Beginnings of lines of submitit's and Snakemake's that say nothing about this job."""
ADVICE = {
    "OUT_OF_MEMORY": "it needed more than mem_mb",
    "TIMEOUT": "it needed more than runtime, and did not save and exit when told so",
    "NODE_FAIL": "its node failed",
    "PREEMPTED": "another job took its place",
    "CANCELLED": "somebody cancelled it",
    "DEADLINE": "its deadline passed",
    "COMPLETED": "it ended well and yet left no result; is the working folder shared with the node?",
    "UNKNOWN": "SLURM no longer knows of it",
}


class Verdict(Enum):
    ALIVE = auto()
    SUCCEEDED = auto()
    FAILED = auto()
    LOST = auto()
    """Ended through no fault of its own (or failed to start after a requeue), and the cluster will not run it again."""


def succeeded(entry: Entry) -> bool:
    """Whether the job has left its result: needs no scheduler."""
    if not entry.result.exists():
        return False
    try:
        outcome, _ = pickle.loads(entry.result.read_bytes())
    except Exception:  # a pickle that is not whole can raise anything; then SLURM's word on the job decides
        return False
    return outcome == "success"


class Watched:
    """What is known of one job so far."""

    def __init__(self, entry: Entry):
        self.entry = entry
        self.state, self.since, self.changed, self.obstacle = "", time.monotonic(), False, ""
        self.journal = Journal(entry.journal)
        self.events_told = len(self.journal.read())

    def news(self, state: State | None = None) -> list[str]:
        """Readable lines for signals, restarts and obstacles in the queue since the last call."""
        return [*self._events(), *self._obstacle(state)]

    def _obstacle(self, state: State | None) -> list[str]:
        obstacle = state.reason if state is not None and state.name == "PENDING" else ""
        if obstacle == self.obstacle or not any(sign in obstacle for sign in FOR_EVER):
            return []
        self.obstacle = obstacle
        mend = f"scontrol release {self.entry.job_id}" if "held" in obstacle.lower() else "change its resources"
        return [f"job {self.entry.job_id} waits, and will for ever: SLURM says {obstacle!r}; {mend}"]

    def _events(self) -> list[str]:
        events = self.journal.read()
        told, self.events_told = self.events_told, len(events)
        starts = [index for index, event in enumerate(events) if event["event"] == "start"]
        lines = []
        for index, event in enumerate(events[told:], start=told):
            if event["event"] == "requeue":
                so_far = sum(start < index for start in starts)
                lines.append(f"stopped by {event['signal']} and requeued ({so_far} starts so far)")
            elif event["event"] == "start" and index != starts[0]:
                went_on = "where it had saved" if event["progress"] else "from the beginning"
                lines.append(f"goes on {went_on}, on {event['host']} (start {starts.index(index) + 1})")
        return lines

    def judge(self, state: State | None) -> Verdict:
        """What to do about the job. state: the scheduler's word, None if it knows nothing of it."""
        if succeeded(self.entry):
            return Verdict.SUCCEEDED
        name = "UNKNOWN" if state is None else state.name
        self.changed = name != self.state
        if self.changed:
            self.state, self.since = name, time.monotonic()
        lasted_s = time.monotonic() - self.since
        if (state is not None and state.alive) or lasted_s < SETTLING_S.get(name, 0.0) or self._is_being_requeued():
            return Verdict.ALIVE
        return Verdict.LOST if self._is_lost(name) else Verdict.FAILED

    def _is_lost(self, state: str) -> bool:
        events = [event["event"] for event in self.journal.read()]
        in_vain = next((n for n, event in enumerate(reversed(events)) if event != "resubmit"), len(events))
        never_started = bool(events) and events[-1] == "requeue" and state != "CANCELLED"
        return (state in LOST or never_started) and in_vain < RESUBMISSIONS_IN_VAIN

    def _is_being_requeued(self) -> bool:
        events = self.journal.read()
        return bool(events) and events[-1]["event"] == "requeue" and time.time() - events[-1]["time"] < REQUEUE_TAKES_S


def reason(entry: Entry, state: State | None) -> str:
    """Why a job failed, and the last lines of its log."""
    name = "UNKNOWN" if state is None or not state.name else state.name
    text = f"{entry.name}: job {entry.job_id} ended as {name}"
    if state is not None and state.exit_code:
        code, _, number = state.exit_code.partition(":")
        text += f", exit code {code}" + (f", signal {number}" if number not in ("", "0") else "")
    if name in ADVICE:
        text += f": {ADVICE[name]}"
    starts = sum(event["event"] == "start" for event in Journal(entry.journal).read())
    if starts > 1:
        text += f" (started {starts} times)"
    return "\n".join([text, f"The end of {entry.log}:", *(f"    {line}" for line in _tail(entry))])


def _tail(entry: Entry) -> list[str]:
    try:
        lines = entry.log.read_text(errors="replace").splitlines()
    except OSError:
        return ["(there is no such file: the job did not start)"]
    said = [line for line in lines if line.strip() and not line.startswith(EVERY_JOB_SAYS)]
    if said[-1:] == ["WorkflowError:"]:
        said.pop()  # of which the last line is one that every failed job says
    return said[-LOG_TAIL_LINES:] or ["(nothing)"]
