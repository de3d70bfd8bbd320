import numpy as np
import pytest
import torch
from processes import weights_of
from tiny_study import CLIP, OPTIONS

from dynamonet.cli import main
from dynamonet.data.flow import flow_path
from dynamonet.data.manifest import Manifest
from dynamonet.engine import flow
from dynamonet.engine.evaluate import evaluate
from dynamonet.engine.fit import fit
from dynamonet.errors import UserError
from dynamonet.expansion import expand
from dynamonet.files import read_json
from dynamonet.spec_files import write_specs
from dynamonet.study import load_study


class FakeRaft:
    """Everything moves to the right, by a hundredth of its red value in 256ths of the shorter side."""

    calls = 0

    def __init__(self, variant):
        assert variant == "raft_small"

    def between(self, first, second):
        FakeRaft.calls += 1
        return torch.stack([first[:, 0], torch.zeros_like(first[:, 0])], 1) * 2.55


@pytest.fixture
def run(prepared, tiny, tmp_path, monkeypatch):
    """The spec of a run whose model takes stored flow, in a prepared study; the folder of that flow is empty."""
    tiny["datasets"]["kinetics400"]["flow_root"] = str(tmp_path / "flow")
    (tmp_path / "flow").mkdir()
    tiny["models"]["two_stream"] = {"build": "two_stream_stored", "options": OPTIONS, "clip": CLIP}
    tiny["experiments"]["kinetics400"]["models"] = ["two_stream"]
    for name in ("labels", "ucf101"):
        del tiny["experiments"][name]
    del tiny["claims"]
    study = load_study(tiny)
    expansion = expand(study)
    write_specs(study, expansion)
    monkeypatch.setattr(flow, "Raft", FakeRaft)
    return study.directory / "runs" / expansion.experiments["kinetics400"][0]["run"] / "spec.json"


def store(run):
    spec_path = run.parents[2] / "flow" / "kinetics400.spec.json"
    assert main(["flow", "--spec", str(spec_path), "--raft", "raft_small"]) == 0


def test_flow_is_stored_for_every_video_once_and_then_trained_and_evaluated_with(run, tmp_path):
    manifest_path = run.parents[2] / "manifests" / "kinetics400.parquet"
    manifest = Manifest.load(manifest_path)
    # As if another split tested a video of its content.
    manifest.rows.loc[manifest.rows["split_1"].eq("train").idxmax(), "status"] = "duplicate"
    manifest.save(manifest_path)
    store(run)
    for path in manifest.rows["path"]:
        fields = np.load(flow_path(tmp_path / "flow", path))
        assert fields.shape == (11, 32, 40, 2) and fields.dtype == np.uint8
        assert (fields[..., 0] >= 128).all() and fields[..., 0].max() > 130 and (fields[..., 1] == 128).all()
    calls = FakeRaft.calls
    store(run)
    assert FakeRaft.calls == calls
    fit(run)
    evaluate(run)
    metrics = read_json(run.parent / "evaluate.json")["metrics"]
    assert 0 <= metrics["top1"] <= 1 and metrics["psnr_db"] > 10
    assert np.load(run.parent / "predictions.npz")["frames"].shape[-1] == 3


def test_other_flow_trains_other_weights_and_the_same_flow_the_same(run, tmp_path):
    def weights():
        fit(run)
        return weights_of(run)["flow.backbone.conv1.weight"]

    store(run)
    first = weights()
    assert torch.equal(weights(), first)
    for path in (tmp_path / "flow").rglob("*.npy"):
        np.save(path, 255 - np.load(path))
    assert not torch.equal(weights(), first)


def test_flow_that_is_not_there_stops_the_fit_before_its_first_step(run):
    with pytest.raises(UserError, match=r"flow/.*\.npy is missing .* write it with `dynamonet flow`"):
        fit(run)
    assert not list((run.parent / "checkpoints").glob("*.pt"))


def test_flow_between_frames_is_in_256ths_of_them_on_a_grid_of_128():
    seen = []

    class Raft:
        def between(self, first, second):
            seen.append((first, second))
            return torch.tensor([3.0, -2.0]).view(1, 2, 1, 1).expand(len(first), 2, *first.shape[2:])

    frames = np.arange(70, dtype=np.uint8)[:, None, None, None].repeat(300, 1).repeat(600, 2).repeat(3, 3)
    fields = flow.flow_of(frames, Raft(), torch.device("cpu"))
    assert fields.shape == (69, 128, 256, 2)
    assert (fields == [3, -2]).all()
    assert all(first.shape[2:] == (256, 512) for first, _ in seen)
    grey = [torch.cat([pair[which][:, 0, 0, 0] for pair in seen]) * 255 for which in (0, 1)]
    torch.testing.assert_close(grey[0], torch.arange(69.0))
    torch.testing.assert_close(grey[1], torch.arange(1.0, 70.0))
