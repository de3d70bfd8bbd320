import os
import signal
import time
from pathlib import Path

import pytest
from processes import (
    assert_same_weights,
    finished,
    handled,
    log_without_times,
    remove_results,
    start,
    wait_until,
    weights_of,
    with_recipe,
)

from dynamonet.engine.fit import fit
from dynamonet.files import read_json

SIGNALS = (signal.SIGTERM, signal.SIGUSR2)


def ignore_usr2() -> None:
    """As some launchers leave it to what they start."""
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])


def children(process) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize(
    ("stage", "spec"),
    [
        ("train", "runs/{run}/spec.json"),
        ("evaluate", "runs/{run}/spec.json"),
        ("prepare", "manifests/ucf101.spec.json"),
        ("measure", "measure/dynamonet.spec.json"),
    ],
)
def test_before_there_is_progress_a_stage_stops_at_once(prepared, stage, spec, number):
    run_dir = prepared("kinetics400", model="dynamonet").parent
    before = {path: path.stat().st_mtime_ns for path in run_dir.parents[1].rglob("*")}
    process = start(stage, run_dir.parents[1] / spec.format(run=run_dir.name), preexec_fn=ignore_usr2)
    wait_until(lambda: handled(process, signal.SIGUSR2), process)
    process.send_signal(number)
    status, said = finished(process)
    assert status == [75]
    assert said == [f"stopped by {number.name}; the same command starts it again\n"]
    assert {path: path.stat().st_mtime_ns for path in run_dir.parents[1].rglob("*")} == before


def test_training_saves_its_progress_and_goes_on_as_if_undisturbed(prepared):
    spec_path = with_recipe(prepared("kinetics400", model="dynamonet"), steps=60, checkpoint_every=40)
    fit(spec_path)
    undisturbed, log = weights_of(spec_path), log_without_times(spec_path)
    remove_results(spec_path)
    arguments = "train", spec_path, "--workers", "1"
    process = start(*arguments, preexec_fn=ignore_usr2, start_new_session=True)
    pointer = spec_path.parent / "checkpoints" / "latest.json"
    wait_until(lambda: (spec_path.parent / "log.jsonl").exists() and log_without_times(spec_path), process)
    workers = children(process)
    # As a cluster does: every process of the job gets it; and again, while the first is being dealt with.
    for _ in range(20):
        os.killpg(process.pid, signal.SIGUSR2)
    status, said = finished(process)
    step = read_json(pointer)[0]["step"]
    sentence = f"{spec_path.parent.name}: stopped by SIGUSR2 at step {step} of 60; the same command goes on from"
    assert status == [75]
    assert said[0].splitlines()[-1] == f"{sentence} there"
    assert "Traceback" not in said[0]
    assert step % 40
    assert workers
    assert not any(map(running, workers))
    status, said = finished(start(*arguments))
    assert status == [0], said
    assert_same_weights(undisturbed, weights_of(spec_path))
    assert log_without_times(spec_path) == log
    provenance = read_json(spec_path.parent / "fit.json")["provenance"]
    stopped, last = provenance["attempts"]
    assert provenance["restarts"] == 1
    assert (stopped["from_step"], stopped["to_step"], stopped["stopped_by"]) == (0, step, "SIGUSR2")
    assert (last["from_step"], last["to_step"], last["stopped_by"]) == (step, 60, None)


@pytest.fixture
def endless(prepared):
    """A fit with a decoding process, under way."""
    spec_path = with_recipe(prepared("kinetics400", model="dynamonet"), steps=10_000)
    process = start("train", spec_path, "--workers", "1")
    wait_until((spec_path.parent / "checkpoints" / "latest.json").exists, process)
    (worker,) = children(process)
    yield spec_path, process, worker
    process.kill()
    process.communicate()


def test_decoding_processes_neither_heed_signals_nor_outlive_a_killed_fit(endless):
    spec_path, process, worker = endless
    for number in SIGNALS:
        os.kill(worker, number)
    step = log_without_times(spec_path)[-1]["step"]
    wait_until(lambda: log_without_times(spec_path)[-1]["step"] > step + 20, process)
    assert running(worker)
    process.kill()
    deadline = time.monotonic() + 60  # torch's processes look for their parent every 5 seconds
    while running(worker):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_fit_that_fails_does_not_wait_for_its_decoding_processes(endless):
    spec_path, process, worker = endless
    spec_path.parent.rename("elsewhere")
    status, said = finished(process)
    assert status == [2]
    assert said[0].splitlines()[-1].startswith("error: ") and "No such file or directory" in said[0]
    assert not running(worker)
