import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from processes import assert_same_weights, log_without_times, weights_of

from dynamonet.data.manifest import Manifest
from dynamonet.engine import interrupt
from dynamonet.engine.checkpoint import load_checkpoint, save_checkpoint
from dynamonet.engine.fit import fit
from dynamonet.errors import UserError
from dynamonet.files import read_json
from dynamonet.models.catalogue import model_module
from dynamonet.spec import load_spec


def test_a_finished_fit_leaves_weights_log_and_record(prepared):
    spec_path = prepared("kinetics400", model="dynamonet")
    fit(spec_path)
    record = read_json(spec_path.parent / "fit.json")
    assert record["stage"] == "train"
    assert record["run"] == spec_path.parent.name
    assert record["counts"] == {"videos": 24, "classes": 12}
    assert record["metrics"]["steps"] == 6
    assert record["provenance"]["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert [line["step"] for line in log_without_times(spec_path)] == [2, 4, 6]
    assert not (spec_path.parent / "checkpoints").exists()


def test_one_clip_at_once_is_too_few_for_batch_normalisation(prepared):
    spec = load_spec(prepared("kinetics400", model="dynamonet"))
    spec = spec.model_copy(update={"recipe": spec.recipe.model_copy(update={"accumulation": 4})})
    spec_path = Path("results/tiny/runs") / spec.run / "spec.json"
    spec.save(spec_path)
    with pytest.raises(UserError) as refusal:
        fit(spec_path)
    assert "\n" not in str(refusal.value)
    assert "batch normalisation cannot train on 1 clip at once" in str(refusal.value)
    advice = "raise batch_size (4), or lower accumulation (4) or the number of processes (1)"
    assert advice in str(refusal.value)


def test_a_killed_fit_goes_on_as_if_it_had_not_been(prepared):
    spec_path = prepared("kinetics400", model="dynamonet")
    fit(spec_path)
    undisturbed, log = weights_of(spec_path), log_without_times(spec_path)
    for name in ("model.safetensors", "fit.json", "log.jsonl"):
        (spec_path.parent / name).unlink()
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "dynamonet.cli", "train", "--spec", str(spec_path)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    pointer = spec_path.parent / "checkpoints" / "latest.json"
    while not pointer.exists():
        assert process.poll() is None, "the fit ended before its first checkpoint"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (spec_path.parent / "model.safetensors").exists()
    fit(spec_path)
    assert_same_weights(undisturbed, weights_of(spec_path))
    assert log_without_times(spec_path) == log
    provenance = read_json(spec_path.parent / "fit.json")["provenance"]
    assert provenance["restarts"] == 1
    killed, last = provenance["attempts"]
    assert (killed["from_step"], killed["to_step"], killed["stopped_by"]) == (0, None, None)
    assert last["from_step"] in (2, 4)
    assert (last["to_step"], last["stopped_by"]) == (6, None)


def test_a_fit_that_is_stopped_at_every_step_ends_all_the_same(prepared, monkeypatch):
    spec_path = prepared("kinetics400", model="dynamonet")
    fit(spec_path)
    undisturbed, log = weights_of(spec_path), log_without_times(spec_path)
    monkeypatch.setattr(interrupt, "received", lambda: signal.SIGUSR2)
    for step in range(1, 6):
        with pytest.raises(interrupt.Interrupted, match=f"SIGUSR2 at step {step} of 6"):
            fit(spec_path)
    checkpoints = spec_path.parent / "checkpoints"
    state = load_checkpoint(checkpoints)
    save_checkpoint(checkpoints, 5, state | {"time": {"wall_s": 5e6, "cpu_s": 1e6}})
    fit(spec_path)  # nothing is left to stop at the last step
    assert_same_weights(undisturbed, weights_of(spec_path))
    assert log_without_times(spec_path) == log
    record = read_json(spec_path.parent / "fit.json")
    assert record["provenance"]["restarts"] == 5
    assert [attempt["from_step"] for attempt in record["provenance"]["attempts"]] == [0, 1, 2, 3, 4, 5]
    # the time of all attempts, not of the last
    assert record["time"]["wall_s"] > 5e6
    assert record["time"]["cpu_s"] > 1e6


def test_a_checkpoint_of_a_fit_on_other_data_is_not_used(prepared, capsys, monkeypatch):
    spec_path = prepared("kinetics400", model="dynamonet")
    monkeypatch.setattr("dynamonet.engine.fit.remove_checkpoints", lambda folder: None)
    fit(spec_path)
    undisturbed = weights_of(spec_path)
    pointer = spec_path.parent / "checkpoints" / "latest.json"
    assert pointer.exists()
    path = spec_path.parents[2] / "manifests" / "kinetics400.parquet"
    manifest = Manifest.load(path)
    Manifest(manifest.rows.iloc[1:], manifest.layout, manifest.root, manifest.classes).save(path)
    fit(spec_path)
    assert "starting anew" in capsys.readouterr().err
    assert read_json(spec_path.parent / "fit.json")["provenance"]["restarts"] == 0
    assert [line["step"] for line in log_without_times(spec_path)] == [2, 4, 6]
    assert any(not torch.equal(undisturbed[key], value) for key, value in weights_of(spec_path).items())


def test_fine_tuning_starts_from_the_parent_with_a_fresh_classifier(prepared):
    parent, child = prepared("kinetics400", model="dynamonet"), prepared("ucf101", model="dynamonet", split=2)
    with pytest.raises(UserError, match="has no finished weights"):
        fit(child)
    fit(parent)
    fit(child)
    init = read_json(child.parent / "fit.json")["provenance"]["init"]
    assert init["run"] == parent.parent.name
    assert init["fresh"] == ["fc.bias", "fc.weight"]
    assert init["left_out"] == []


def test_the_backbone_takes_its_part_of_pretrained_weights(prepared):
    fit(prepared("pretraining"))
    child = prepared("labels", model="backbone", init="pretraining", label_fraction=0.5)
    fit(child)
    record = read_json(child.parent / "fit.json")
    assert record["counts"]["videos"] == 12
    left_out = record["provenance"]["init"]["left_out"]
    assert left_out
    assert all(key.startswith(("generator.", "dmr.")) for key in left_out)


def test_damaged_weights_are_refused(prepared):
    parent, child = prepared("kinetics400", model="dynamonet"), prepared("ucf101", model="dynamonet")
    fit(parent)
    path = parent.parent / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"model\.safetensors is damaged"):
        fit(child)


def test_weights_of_another_model_are_refused(prepared):
    parent, child = prepared("kinetics400", model="dynamonet"), prepared("ucf101", model="dynamonet")
    other = prepared("kinetics400", model="slow_r50")
    fit(other)
    for name in ("model.safetensors", "fit.json"):
        (parent.parent / name).write_bytes((other.parent / name).read_bytes())
    with pytest.raises(UserError, match="cannot start from"):
        fit(child)


def test_a_manifest_of_another_folder_is_refused(prepared):
    spec_path = prepared("kinetics400", model="dynamonet")
    manifests = spec_path.parents[2] / "manifests"
    (manifests / "kinetics400.parquet").write_bytes((manifests / "ucf101.parquet").read_bytes())
    with pytest.raises(UserError, match=r"kinetics400\.parquet was prepared from .*ucf101"):
        fit(spec_path)


def test_the_clip_of_a_spec_carries_the_target_of_prediction(prepared):
    spec = load_spec(prepared("kinetics400", model="dynamonet"))
    assert spec.extra_frames == model_module("dynamonet").CARD.extra_frames == 1
