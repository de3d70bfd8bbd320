import snakemake_logger_plugin_dynamonet as plugin
from snakemake_logger_plugin_dynamonet import Jobs, clock


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
