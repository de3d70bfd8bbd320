"""A run that is killed, again and again and at any instant, ends with the bytes of the undisturbed one."""

import random

import killing
import pytest
from processes import bytes_of_results, remove_results, with_recipe

from dynamonet.files import read_json

KILLS = 25
COMMON = dict(steps=7, log_every=3, checkpoint_every=2, crop_scales=(1.0, 0.8), flip=True, warmup_steps=2)
RECIPES = {
    "adamw": dict(**COMMON, accumulation=2, ema_decay=0.9, mixup=0.4, cutmix=1.0, gradient_clip=1.0, decay_all=False),
    "sgd": dict(**COMMON, optimiser="sgd", schedule="plateau", plateau_steps=1, plateau_patience=0, precision="fp16"),
}


def at_random(rng: random.Random, undisturbed: killing.Attempt, in_save: bool) -> dict[str, float | int]:
    """When to kill a run like the undisturbed one: as an argument of killing.run."""
    if in_save and undisturbed.changes_in_saves:
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

    def kill_again_and_again(name: str) -> killing.Attempt:
        """Start a stage until it ends of itself."""
        while True:
            in_save = 2 * sum(kill.ended_in_save for kill in kills) <= len(kills)
            attempt = killing.run(*stages[name], **at_random(rng, undisturbed[name], in_save))
            if not attempt.killed:
                return attempt
            kills.append(attempt)

    while len(kills) < KILLS or sum(kill.ended_in_save for kill in kills) < KILLS // 3:
        remove_results(spec_path)
        for name in stages:
            ended = kill_again_and_again(name)
            assert ended.status == 0, ended.stderr
        assert bytes_of_results(spec_path) == expected
        attempts = read_json(spec_path.parent / "fit.json")["provenance"]["attempts"]
        resumed_from |= {attempt["from_step"] for attempt in attempts}
    assert resumed_from == {0, 2, 4, 6}
