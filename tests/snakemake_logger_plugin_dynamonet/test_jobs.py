import io
from types import SimpleNamespace

from rich.console import Console

import snakemake_logger_plugin_dynamonet as plugin
from snakemake_logger_plugin_dynamonet import REFERRAL, Jobs, LogHandler, clock


def test_time_left_is_work_left_at_the_pace_so_far(monkeypatch):
    now = 0.0
    monkeypatch.setattr(plugin.time, "monotonic", lambda: now)
    jobs = Jobs({"train": 4, "evaluate": 4})
    assert jobs.left_s() is None
    jobs.start(1, "train", ["a"])
    jobs.start(2, "train", ["b"])
    now = 10.0
    assert jobs.finish(1) == ("train a", 10.0)
    assert jobs.finish(2) == ("train b", 10.0)
    # Six jobs of ten seconds each, as far as is known, two at a time.
    assert jobs.left_s() == 30
    jobs.start(3, "evaluate", ["a"])
    jobs.start(4, "evaluate", ["b"])
    now = 12.0
    jobs.finish(3)
    jobs.finish(4)
    # Two trainings of ten seconds, two evaluations of two, two at a time.
    assert jobs.left_s() == 12


def test_clock_is_readable():
    assert clock(None) == "?"
    assert clock(3725.4) == "1:02:05"


def test_a_failure_shows_the_executors_reason_and_each_log_once(tmp_path):
    stage, cluster = tmp_path / "train.log", tmp_path / "12_0_log.out"
    stage.write_text("error: the loss is nan at step 3\n")
    cluster.write_text("what the job said\n")
    handler = LogHandler.__new__(LogHandler)
    handler.console, handler.jobs = Console(file=io.StringIO(), width=200), Jobs({})
    handler.jobs.start(5, "train", ["a"])
    message = f"train a: job 12 ended as FAILED\nThe end of {cluster}:\n    what the job said\n{REFERRAL}"
    handler._job_error(SimpleNamespace(jobid=5, rule_name="train", rule_msg=message, log=[str(stage), str(cluster)]))
    said = handler.console.file.getvalue()
    assert said.startswith("FAILED: train a\ntrain a: job 12 ended as FAILED\n")
    assert "    error: the loss is nan at step 3\n" in said
    assert said.count("what the job said") == 1
    assert REFERRAL not in said
