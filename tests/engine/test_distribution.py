"""Stages shared by several processes, and fed by several data workers, on the CPU."""

import signal
import socket
import sys

import pandas as pd
import pytest
import torch
from processes import (
    ALTERED,
    assert_same_weights,
    bytes_of_results,
    finished,
    free_port,
    handled,
    log_without_times,
    rank_environment,
    remove_results,
    start,
    start_ranks,
    wait_until,
    weights_of,
    with_recipe,
)

from dynamonet.data.manifest import Manifest
from dynamonet.engine.distribution import World
from dynamonet.engine.evaluate import evaluate
from dynamonet.engine.fit import fit
from dynamonet.errors import UserError
from dynamonet.files import read_json

SRUN = {
    "SLURM_JOB_ID": "4242",
    "SLURM_STEP_ID": "3",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_NODELIST": "gpu7",
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
}
TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "here", "MASTER_PORT": "1"}
TORCHRUN_COMMAND = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def test_torchrun_and_srun_say_who_shares_a_stage():
    assert World.of(TORCHRUN) == World(3, 4, 1, "here:1")
    assert World.of({**TORCHRUN, **SRUN}) == World(3, 4, 1, "here:1")
    world = World.of(SRUN)
    assert world == World(3, 4, 1, world.address)
    host, port = world.address.split(":")
    assert host == "gpu7"
    assert 10000 <= int(port) < 30000
    assert World.of({**SRUN, "SLURM_STEP_ID": "4"}).address != world.address
    assert World.of({**SRUN, "MASTER_ADDR": "there", "MASTER_PORT": "2"}).address == "there:2"


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"RANK": "0", "WORLD_SIZE": "2"}, "RANK is set, and LOCAL_RANK is no number"),
        ({**TORCHRUN, "WORLD_SIZE": "two"}, "RANK is set, and WORLD_SIZE is no number"),
        ({"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}, "set MASTER_ADDR and MASTER_PORT"),
    ],
)
def test_a_launcher_that_says_too_little_is_told_so(environment, said):
    with pytest.raises(UserError, match=said):
        World.of(environment)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {**SRUN, "SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "1"},
        {**TORCHRUN, "WORLD_SIZE": "1", "RANK": "0"},
        # a batch script of a job with four tasks, which starts the stage itself
        {key: value for key, value in SRUN.items() if "STEP" not in key},
    ],
)
def test_otherwise_a_process_is_on_its_own(environment):
    assert World.of(environment) == World()


def test_scontrol_names_the_first_of_several_nodes(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"gpu\[03-04\]: set MASTER_ADDR"):
        World.of({**SRUN, "SLURM_STEP_NODELIST": "gpu[03-04]"})
    scontrol = tmp_path / "scontrol"
    scontrol.write_text('#!/bin/sh\ntest "$*" = "show hostnames gpu[03-04]" && printf "gpu03\\ngpu04\\n"\n')
    scontrol.chmod(0o755)
    assert World.of({**SRUN, "SLURM_STEP_NODELIST": "gpu[03-04]"}).address.startswith("gpu03:")


def test_a_batch_that_cannot_be_shared_evenly_is_refused(prepared, monkeypatch):
    for name, value in {**TORCHRUN, "WORLD_SIZE": "3", "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="3 processes cannot share a batch_size of 4"):
        fit(prepared("kinetics400", model="dynamonet"))


@pytest.mark.parametrize(
    ("trainable", "stage_command"),
    [
        (("all",), (ALTERED, "without_batch_norm")),
        # frozen, batch normalisation keeps its statistics: there is nothing that it takes from a process's own clips
        (("head", "backbone.layer4.0.conv1"), ("-m", "dynamonet.cli")),
    ],
    ids=["without batch norm", "batch norm frozen"],
)
def test_two_processes_train_as_one_does(prepared, trainable, stage_command):
    # Without frame prediction, whose unit is taken from the clips of a process.
    settings = dict(steps=20, optimiser="sgd", learning_rate=0.1, gradient_clip=1.0, trainable=trainable)
    spec_path = with_recipe(prepared("kinetics400", model="backbone"), **settings)
    status, said = finished(start("train", spec_path, command=(sys.executable, *stage_command)))
    assert status == [0], said
    alone, log = weights_of(spec_path), log_without_times(spec_path)
    assert read_json(spec_path.parent / "fit.json")["provenance"]["world_size"] == 1
    assert "batch_norm" not in read_json(spec_path.parent / "fit.json")["provenance"]
    remove_results(spec_path)
    status, said = finished(start("train", spec_path, command=(*TORCHRUN_COMMAND, *stage_command)))
    assert status == [0], said
    together = weights_of(spec_path)
    assert read_json(spec_path.parent / "fit.json")["provenance"]["world_size"] == 2
    assert len(list((spec_path.parent / "tensorboard").iterdir())) == 1  # rank 0 alone shows its log
    for line, other in zip(log, log_without_times(spec_path), strict=True):
        assert line == pytest.approx(other, abs=2e-5)
    for key, value in alone.items():
        torch.testing.assert_close(together[key], value, rtol=1e-4, atol=1e-6)


def test_a_signal_to_one_process_stops_all_and_they_go_on_as_if_undisturbed(prepared):
    spec_path = with_recipe(prepared("kinetics400", model="dynamonet"), steps=40, checkpoint_every=20)
    status, said = finished(*start_ranks(2, "train", spec_path))
    assert status == [0, 0], said
    undisturbed, log = weights_of(spec_path), log_without_times(spec_path)
    remove_results(spec_path)
    first, second = start_ranks(2, "train", spec_path)
    wait_until(lambda: (spec_path.parent / "log.jsonl").exists() and log_without_times(spec_path), first)
    second.terminate()
    status, said = finished(first, second)
    step = read_json(spec_path.parent / "checkpoints" / "latest.json")[0]["step"]
    assert status == [75, 75]
    assert f"stopped by SIGTERM at step {step} of 40; the same command goes on from there" in said[0]
    assert "stopped by" not in said[1]
    assert step % 20
    with pytest.raises(UserError, match="was left by a fit with 2 processes, this one has 1"):
        fit(spec_path)
    status, said = finished(*start_ranks(2, "train", spec_path))
    assert status == [0, 0], said
    assert_same_weights(undisturbed, weights_of(spec_path))
    assert log_without_times(spec_path) == log
    provenance = read_json(spec_path.parent / "fit.json")["provenance"]
    assert (provenance["world_size"], provenance["batch_norm"], provenance["restarts"]) == (2, "per process", 1)
    assert [attempt["stopped_by"] for attempt in provenance["attempts"]] == ["SIGTERM", None]


def test_a_process_that_waits_for_others_in_vain_heeds_signals(prepared):
    port = free_port()
    process = start("train", prepared("pretraining"), environment=rank_environment(0, 2, port))

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(listens, process)
    process.send_signal(signal.SIGUSR2)
    assert finished(process) == ([75], ["stopped by SIGUSR2; the same command starts it again\n"])


def test_a_loss_that_is_not_finite_at_one_process_stops_all_with_one_sentence(prepared):
    spec_path = prepared("pretraining")
    command = sys.executable, ALTERED, "not_finite_at_rank_1"
    status, said = finished(*start_ranks(2, "pretrain", spec_path, command=command))
    assert status == [2, 2]
    kept = read_json(spec_path.parent / "checkpoints" / "not-finite-00000000.json")
    assert [len(videos) for videos in kept["videos"]] == [2, 2]
    names = ", ".join(name for videos in kept["videos"] for name in videos)
    assert said[0].splitlines()[-1].startswith(f"error: the loss is nan at step 0, on clips of {names}: lower")
    assert "the loss" not in said[1]
    assert "Traceback" not in "".join(said)
    assert not (spec_path.parent / "checkpoints" / "latest.json").exists()


def five_times_the_videos(spec_path) -> None:
    """List every video of the run's data set five times: more than one batch to evaluate."""
    path = spec_path.parents[2] / "manifests" / "kinetics400.parquet"
    manifest = Manifest.load(path)
    copies = [manifest.rows.assign(id=[f"{copy}-{name}" for name in manifest.rows["id"]]) for copy in "abcde"]
    Manifest(pd.concat(copies, ignore_index=True), manifest.layout, manifest.root, manifest.classes).save(path)


def test_results_do_not_depend_on_the_number_of_data_workers(prepared):
    settings = dict(crop_scales=(1.0, 0.8), flip=True, mixup=0.4, cutmix=1.0)
    spec_path = with_recipe(prepared("kinetics400", model="dynamonet"), **settings)
    five_times_the_videos(spec_path)
    results = []
    for workers in (0, 1, 2):
        fit(spec_path, workers)
        evaluate(spec_path, workers)
        results.append(bytes_of_results(spec_path))
        remove_results(spec_path)
    assert results[0] == results[1] == results[2]


def test_scores_do_not_depend_on_the_number_of_processes(prepared):
    spec_path = prepared("kinetics400", model="dynamonet")
    five_times_the_videos(spec_path)
    fit(spec_path)
    evaluate(spec_path)
    alone = bytes_of_results(spec_path)
    record = read_json(spec_path.parent / "evaluate.json")
    assert record["counts"]["scored"] == 60
    for count in (2, 3):
        for name in ("logits.parquet", "predictions.npz", "evaluate.json"):
            (spec_path.parent / name).unlink()
        status, said = finished(*start_ranks(count, "evaluate", spec_path))
        assert status == [0] * count, said
        assert bytes_of_results(spec_path) == alone
        shared = read_json(spec_path.parent / "evaluate.json")
        assert shared["metrics"] == record["metrics"]
        assert shared["provenance"]["world_size"] == count


def test_evaluation_stops_in_all_processes(prepared):
    spec_path = prepared("kinetics400", model="dynamonet")
    fit(spec_path)
    processes = start_ranks(2, "evaluate", spec_path)
    for process in processes:
        wait_until(lambda process=process: handled(process, signal.SIGTERM), process)
        process.terminate()
    assert finished(*processes)[0] == [75, 75]
