"""A loss or gradient that is no number stops a fit with all that is needed to look into it."""

import signal

import pytest
import torch
from processes import bytes_of_results, remove_results

from dynamonet.data.clips import batches
from dynamonet.data.manifest import Manifest
from dynamonet.engine import interrupt
from dynamonet.engine.checkpoint import load_checkpoint
from dynamonet.engine.fit import fit
from dynamonet.engine.objective import Objective
from dynamonet.errors import UserError
from dynamonet.files import read_json
from dynamonet.spec import load_spec

WEIGHTS = ("model.safetensors",)


def videos_of_step(spec_path, step: int) -> list[str]:
    spec = load_spec(spec_path)
    manifest = Manifest.load(spec_path.parents[2] / "manifests" / f"{spec.dataset}.parquet")
    rows = manifest.select(spec.split, "train", spec.label_fraction, spec.seed)
    batch = next(batches(len(rows), spec.recipe.batch_size, spec.seed, step, spec.recipe.steps))
    return [rows["id"].iloc[row] for _, row in batch]


def state_at(spec_path, step: int, monkeypatch) -> dict:
    """The state of the fit after a number of steps."""
    with monkeypatch.context() as patched:
        patched.setattr(interrupt, "received", lambda: signal.SIGTERM)
        for _ in range(step):
            with pytest.raises(interrupt.Interrupted):
                fit(spec_path)
    return load_checkpoint(spec_path.parent / "checkpoints")


@pytest.mark.parametrize("bad", ["nan", "inf"])
def test_the_step_its_videos_and_the_state_before_it_are_kept(prepared, monkeypatch, bad):
    spec_path = prepared("kinetics400", model="dynamonet")
    fit(spec_path)
    undisturbed = bytes_of_results(spec_path, WEIGHTS)
    remove_results(spec_path)
    before = state_at(spec_path, 3, monkeypatch)
    remove_results(spec_path)

    forward = Objective.forward

    def broken(self, video, labels, step):
        loss, values = forward(self, video, labels, step)
        factor = float(bad) if step == 3 else 1.0
        return loss * factor, values * factor

    with monkeypatch.context() as patched:
        patched.setattr(Objective, "forward", broken)
        with pytest.raises(UserError) as refusal:
            fit(spec_path)
    videos = videos_of_step(spec_path, 3)
    path = (spec_path.parent / "checkpoints" / "not-finite-00000003.pt").absolute()
    sentence = str(refusal.value)
    assert "\n" not in sentence
    assert sentence.startswith(f"the loss is {bad} at step 3, on clips of {', '.join(videos)}: lower learning_rate or ")
    assert f" is {path}, " in sentence
    about = read_json(path.with_suffix(".json"))
    assert (about["step"], about["loss"], about["videos"]) == (3, bad, [videos])
    kept = torch.load(path, weights_only=True)
    assert kept["step"] == 3
    # the running statistics of batch norm have seen the batch
    parameters = [name for name in before["model"] if "running_" not in name and "num_batches" not in name]
    assert len(parameters) > 10
    for name in parameters:
        assert torch.equal(kept["model"][name], before["model"][name]), name
    for index, moments in before["optimiser"]["state"].items():
        for name, value in moments.items():
            assert torch.equal(kept["optimiser"]["state"][index][name], value), (index, name)

    fit(spec_path)  # what was wrong has been mended: it goes on from the checkpoint before
    assert bytes_of_results(spec_path, WEIGHTS) == undisturbed
    attempts = read_json(spec_path.parent / "fit.json")["provenance"]["attempts"]
    assert [attempt["from_step"] for attempt in attempts] == [0, 2]


def test_a_gradient_that_is_not_finite_stops_the_fit_before_the_weights_are_changed(prepared, monkeypatch):
    spec_path = prepared("kinetics400", model="dynamonet")
    forward = Objective.forward

    def steep(self, video, labels, step):
        loss, values = forward(self, video, labels, step)
        if step == 3:  # finite as it is, with an infinite slope
            loss = loss + (loss - loss.detach()).sqrt()
        return loss, values

    monkeypatch.setattr(Objective, "forward", steep)
    with pytest.raises(UserError, match=r"the gradient is (inf|nan) at step 3, on clips of"):
        fit(spec_path)
    kept = torch.load(spec_path.parent / "checkpoints" / "not-finite-00000003.pt", weights_only=True)
    assert all(value.isfinite().all() for value in kept["model"].values())
