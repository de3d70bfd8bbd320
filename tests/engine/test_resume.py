"""A run that is killed at any instant, or whose checkpoints are damaged, ends with the undisturbed run's bytes or says
what is wrong."""

import random
import shutil
import signal

import killing
import pytest
from damages import another_model, cut_off, flip_a_bit
from processes import bytes_of_results, finished, remove_results, start_ranks, with_recipe

from dynamonet.engine import interrupt
from dynamonet.engine.fit import fit
from dynamonet.errors import UserError
from dynamonet.files import read_json

KILLS = 25
COMMON = dict(steps=7, log_every=3, checkpoint_every=2, crop_scales=(1.0, 0.8), flip=True, warmup_steps=2)
RECIPES = {
    "adamw": dict(**COMMON, accumulation=2, ema_decay=0.9, mixup=0.4, cutmix=1.0, gradient_clip=1.0, decay_all=False),
    "sgd": dict(**COMMON, optimiser="sgd", schedule="plateau", plateau_steps=1, plateau_patience=0, precision="fp16"),
}


def at_random(rng: random.Random, undisturbed: killing.Attempt, in_save: bool) -> dict[str, float | int]:
    """When to kill a run like the undisturbed one: as an argument of killing.run."""
    if in_save:
        return {"before_change_in_save": rng.randrange(undisturbed.changes_in_saves)}
    if rng.random() < 0.5:
        return {"before_change": rng.randrange(undisturbed.changes)}
    return {"after_s": rng.uniform(0, undisturbed.wall_s)}


@pytest.mark.parametrize("recipe", RECIPES)
def test_killed_at_random_instants_a_run_ends_with_the_same_bytes(prepared, recipe):
    spec_path = with_recipe(prepared("kinetics400", model="dynamonet"), **RECIPES[recipe])
    stages = {name: (killing.stage, name, "--spec", str(spec_path)) for name in ("train", "evaluate")}
    stages["train"] += "--trackers", "none"
    undisturbed = {name: killing.run(*stage) for name, stage in stages.items()}
    assert [attempt.status for attempt in undisturbed.values()] == [0, 0], undisturbed
    expected = bytes_of_results(spec_path)
    rng, kills, resumed_from = random.Random(recipe), [], set()

    while len(kills) < KILLS or sum(kill.ended_in_save for kill in kills) < KILLS // 3:
        remove_results(spec_path)
        while True:
            in_save = 2 * sum(kill.ended_in_save for kill in kills) <= len(kills)
            attempt = killing.run(*stages["train"], **at_random(rng, undisturbed["train"], in_save))
            if not attempt.killed:
                break
            kills.append(attempt)
        assert attempt.status == 0, attempt.stderr
        killing.run(*stages["evaluate"], **at_random(rng, undisturbed["evaluate"], in_save=False))
        attempt = killing.run(*stages["evaluate"])
        assert attempt.status == 0, attempt.stderr
        assert bytes_of_results(spec_path) == expected
        attempts = read_json(spec_path.parent / "fit.json")["provenance"]["attempts"]
        resumed_from |= {attempt["from_step"] for attempt in attempts}
    assert len(resumed_from) >= 3, resumed_from  # of 0, 2, 4 and 6


WEIGHTS = ("model.safetensors",)


def interrupted_at_step_3(spec_path, monkeypatch):
    """Leave a fit behind that was stopped after each of its steps; returns the folder of its checkpoints."""
    with monkeypatch.context() as patched:
        patched.setattr(interrupt, "received", lambda: signal.SIGUSR2)
        for _ in range(3):
            with pytest.raises(interrupt.Interrupted):
                fit(spec_path)
    return spec_path.parent / "checkpoints"


@pytest.mark.parametrize("damage", [flip_a_bit, another_model], ids=lambda damage: damage.__name__)
def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before_it(prepared, capsys, monkeypatch, damage):
    spec_path = prepared("kinetics400", model="dynamonet")
    fit(spec_path)
    undisturbed = bytes_of_results(spec_path, WEIGHTS)
    remove_results(spec_path)
    folder = interrupted_at_step_3(spec_path, monkeypatch)
    damage(folder / "step-00000003.pt")
    fit(spec_path)
    assert f"{folder.absolute() / 'step-00000003.pt'} " in capsys.readouterr().err
    assert bytes_of_results(spec_path, WEIGHTS) == undisturbed
    attempts = read_json(spec_path.parent / "fit.json")["provenance"]["attempts"]
    assert [attempt["from_step"] for attempt in attempts] == [0, 1, 2, 2]


def test_a_fit_without_a_whole_checkpoint_says_so_and_starts_anew_when_told_to(prepared, monkeypatch):
    spec_path = prepared("kinetics400", model="dynamonet")
    folder = interrupted_at_step_3(spec_path, monkeypatch)
    log = (spec_path.parent / "log.jsonl").read_bytes()
    for path in folder.glob("*.pt"):
        cut_off(path)
    kept = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(UserError, match=rf"step-00000002\.pt is damaged .*: remove {folder.absolute()} to start anew"):
        fit(spec_path)
    assert {path: path.read_bytes() for path in folder.iterdir()} == kept
    assert (spec_path.parent / "log.jsonl").read_bytes() == log
    shutil.rmtree(folder)
    fit(spec_path)
    assert read_json(spec_path.parent / "fit.json")["provenance"]["restarts"] == 0


def test_a_log_that_is_none_is_refused(prepared, monkeypatch):
    spec_path = prepared("kinetics400", model="dynamonet")
    interrupted_at_step_3(spec_path, monkeypatch)
    log = spec_path.parent / "log.jsonl"
    log.write_text("\0\0\0\n")
    with pytest.raises(UserError, match=rf"{log.absolute()} is damaged: remove it"):
        fit(spec_path)
    log.unlink()
    fit(spec_path)


def test_of_several_processes_one_says_that_no_checkpoint_is_whole(prepared, monkeypatch):
    spec_path = prepared("kinetics400", model="dynamonet")
    pointer = interrupted_at_step_3(spec_path, monkeypatch) / "latest.json"
    pointer.write_text("[")
    status, said = finished(*start_ranks(2, "train", spec_path))
    assert status == [2, 2]
    assert said[0].splitlines()[-1].startswith(f"error: {pointer.absolute()} is damaged: remove ")
    assert "Traceback" not in "".join(said)
    assert "is damaged" not in said[1]
