import json
import pickle

import pytest

from snakemake_executor_plugin_submitit import watch
from snakemake_executor_plugin_submitit.journal import Journal
from snakemake_executor_plugin_submitit.registry import Entry, Registry
from snakemake_executor_plugin_submitit.scheduler import ALIVE, State
from snakemake_executor_plugin_submitit.watch import Verdict, Watched, reason, succeeded


class Clock:
    """Both of Python's clocks, to be set."""

    def __init__(self):
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    monotonic = time


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(watch, "time", clock)
    return clock


@pytest.fixture
def entry(tmp_path) -> Entry:
    registry = Registry(tmp_path / "submitit", holder="here")
    submission = registry.new("train", "slurm", {"k": "train a"})
    submission.job_id = "12"
    return submission.entries()["k"]


def note(entry: Entry, event: str, at: float = 1000.0, **content) -> None:
    with entry.journal.open("a") as file:
        file.write(json.dumps({"event": event, "time": at, **content}) + "\n")


def judgements(watched: Watched, clock: Clock, state: State | None, *waits_s: float) -> list[Verdict]:
    """What is thought of a state at once, and after each wait."""
    verdicts = [watched.judge(state)]
    for wait_s in waits_s:
        clock.now += wait_s
        verdicts.append(watched.judge(state))
    return verdicts


@pytest.mark.parametrize("name", sorted(ALIVE))
def test_a_job_that_waits_or_runs_is_alive_for_ever(entry, clock, name):
    assert judgements(Watched(entry), clock, State(name), 1e6) == [Verdict.ALIVE] * 2


@pytest.mark.parametrize("name", ["FAILED", "TIMEOUT", "OUT_OF_MEMORY", "CANCELLED", "DEADLINE"])
def test_a_job_that_ended_badly_has_failed_at_once(entry, clock, name):
    assert judgements(Watched(entry), clock, State(name)) == [Verdict.FAILED]


def test_a_result_may_take_a_while_through_the_file_system(entry, clock):
    watched = Watched(entry)
    assert judgements(watched, clock, State("COMPLETED"), 29) == [Verdict.ALIVE] * 2
    entry.result.write_bytes(pickle.dumps(("success", None)))
    assert watched.judge(State("COMPLETED")) is Verdict.SUCCEEDED


def test_a_job_that_completed_without_a_result_has_failed(entry, clock):
    assert judgements(Watched(entry), clock, State("COMPLETED"), 29, 2)[1:] == [Verdict.ALIVE, Verdict.FAILED]


def test_a_job_that_nobody_knows_has_failed_after_a_while(entry, clock):
    assert judgements(Watched(entry), clock, None, 119, 2) == [Verdict.ALIVE, Verdict.ALIVE, Verdict.FAILED]


@pytest.mark.parametrize("name", ["NODE_FAIL", "PREEMPTED", "BOOT_FAIL"])
def test_a_job_that_the_cluster_does_not_run_again_is_lost(entry, clock, name):
    assert judgements(Watched(entry), clock, State(name), 59, 2) == [Verdict.ALIVE, Verdict.ALIVE, Verdict.LOST]


def test_a_job_that_the_cluster_runs_again_is_not_lost(entry, clock):
    watched = Watched(entry)
    judgements(watched, clock, State("NODE_FAIL"), 50)
    judgements(watched, clock, State("PENDING"), 600)
    # The second loss has its own time to settle.
    assert judgements(watched, clock, State("NODE_FAIL"), 50) == [Verdict.ALIVE] * 2


@pytest.mark.parametrize("name", ["FAILED", "TIMEOUT"])
def test_a_job_that_asked_to_be_requeued_and_never_was_is_lost(entry, clock, name):
    note(entry, "start", progress=None, host="n1")
    note(entry, "requeue", at=clock.now, signal="SIGUSR2")
    assert judgements(Watched(entry), clock, State(name), 59, 2) == [Verdict.ALIVE, Verdict.ALIVE, Verdict.LOST]


def test_a_job_that_is_cancelled_while_it_waits_to_go_on_has_failed(entry, clock):
    note(entry, "requeue", at=clock.now, signal="SIGUSR2")
    assert judgements(Watched(entry), clock, State("CANCELLED"), 61)[-1] is Verdict.FAILED


def test_a_job_that_is_lost_again_and_again_without_a_start_has_failed(entry, clock):
    note(entry, "start", progress=None, host="n1")
    verdicts = []
    for _ in range(watch.RESUBMISSIONS_IN_VAIN + 1):
        verdicts.append(judgements(Watched(entry), clock, State("NODE_FAIL"), 61)[-1])
        note(entry, "resubmit", job="12")
    assert verdicts == [Verdict.LOST] * watch.RESUBMISSIONS_IN_VAIN + [Verdict.FAILED]
    # One that has started since may be lost as often again.
    note(entry, "start", progress=None, host="n2")
    assert judgements(Watched(entry), clock, State("NODE_FAIL"), 61)[-1] is Verdict.LOST


def test_a_job_that_failed_after_it_was_requeued_has_failed(entry, clock):
    note(entry, "requeue", at=clock.now, signal="SIGUSR2")
    note(entry, "start", at=clock.now, progress=None, host="n1")
    note(entry, "end", at=clock.now, code=1)
    assert Watched(entry).judge(State("FAILED")) is Verdict.FAILED


@pytest.mark.parametrize("state", [None, State("RUNNING"), State("FAILED"), State("NODE_FAIL"), State("CANCELLED")])
def test_a_result_counts_more_than_any_state(entry, clock, state):
    entry.result.write_bytes(pickle.dumps(("success", None)))
    assert Watched(entry).judge(state) is Verdict.SUCCEEDED


@pytest.mark.parametrize("content", [None, b"", pickle.dumps(("success", None))[:-3], pickle.dumps(("error", "why"))])
def test_only_a_whole_result_of_a_success_is_one(entry, content):
    if content is not None:
        entry.result.write_bytes(content)
    assert not succeeded(entry)


def test_a_change_of_state_is_noticed(entry, clock):
    watched = Watched(entry)
    changes = []
    for name in ("PENDING", "PENDING", "RUNNING", "RUNNING"):
        watched.judge(State(name))
        changes.append(watched.changed)
    assert changes == [True, False, True, False]


def test_restarts_are_news_once(entry):
    note(entry, "start", progress=None, host="n1")
    watched = Watched(entry)
    assert watched.news() == []
    note(entry, "signal", signal="SIGUSR2")
    note(entry, "requeue", signal="SIGUSR2")
    assert watched.news() == ["stopped by SIGUSR2 and requeued (1 starts so far)"]
    note(entry, "start", progress="a1", host="n2")
    assert watched.news() == ["goes on where it had saved, on n2 (start 2)"]
    note(entry, "start", progress=None, host="n3")
    note(entry, "end", code=0)
    assert watched.news() == ["goes on from the beginning, on n3 (start 3)"]
    assert watched.news() == []


def test_the_first_start_is_no_news(entry):
    watched = Watched(entry)
    note(entry, "start", progress=None, host="n1")
    assert watched.news() == []


def test_news_of_an_earlier_snakemake_are_not_told_again(entry):
    note(entry, "start", progress=None, host="n1")
    note(entry, "requeue", signal="SIGTERM")
    assert Watched(entry).news() == []


def test_a_requeue_that_is_read_late_has_the_count_of_its_time(entry):
    watched = Watched(entry)
    for number in (1, 2):
        note(entry, "start", progress=None, host=f"n{number}")
        note(entry, "requeue", signal="SIGUSR2")
    assert watched.news()[0] == "stopped by SIGUSR2 and requeued (1 starts so far)"


def test_a_line_cut_off_by_a_crash_is_not_read(entry):
    Journal(entry.journal).write("start", progress=None)
    with entry.journal.open("a") as file:
        file.write('{"event": "requ')
    assert [event["event"] for event in Journal(entry.journal).read()] == ["start"]


def test_a_reason_has_the_exit_code_and_the_end_of_the_log(entry):
    said = [f"line {number}" for number in range(20)]
    entry.log.write_text("\n".join(["submitit INFO (12) - Starting", *said, "", "ValueError: no clips"]))
    text = reason(entry, State("FAILED", exit_code="3:0"))
    lines = text.splitlines()
    assert lines[0] == "train a: job 12 ended as FAILED, exit code 3"
    assert lines[1] == f"The end of {entry.log}:"
    assert lines[-1] == "    ValueError: no clips" and "    line 19" in lines
    assert "line 5" not in text and "submitit INFO" not in text


def test_a_reason_has_advice_the_signal_and_the_starts(entry):
    for number in (1, 2):
        note(entry, "start", progress=None, host=f"n{number}")
    first = reason(entry, State("OUT_OF_MEMORY", exit_code="0:9")).splitlines()[0]
    assert first.endswith("OUT_OF_MEMORY, exit code 0, signal 9: it needed more than mem_mb (started 2 times)")


@pytest.mark.parametrize(
    ("state", "advice"),
    [
        (State("TIMEOUT"), "it needed more than runtime"),
        (State("CANCELLED"), "somebody cancelled it"),
        (State("COMPLETED", exit_code="0:0"), "is the working folder shared with the node?"),
        (None, "ended as UNKNOWN: SLURM no longer knows of it"),
        (State(""), "ended as UNKNOWN"),
    ],
)
def test_a_state_is_explained(entry, state, advice):
    assert advice in reason(entry, state)


def test_a_log_that_is_missing_or_empty_is_said_to_be(entry):
    assert "the job did not start" in reason(entry, State("FAILED"))
    entry.log.write_text("submitit INFO (12) - Starting\n")
    assert reason(entry, State("FAILED")).endswith("    (nothing)")
