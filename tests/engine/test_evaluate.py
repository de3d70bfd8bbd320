import numpy as np
import pandas as pd
import pytest
import torch

from dynamonet.data.manifest import Manifest
from dynamonet.engine.evaluate import evaluate
from dynamonet.engine.fit import fit
from dynamonet.engine.scores import classification_metrics, frame_psnr_db, score_views
from dynamonet.errors import UserError
from dynamonet.files import read_json
from dynamonet.models.output import ModelOutput
from dynamonet.models.prediction import predict_frames
from dynamonet.spec import Views, load_spec


def with_views(spec_path, views):
    """The spec of the same run with other views."""
    spec = load_spec(spec_path).model_copy(update={"views": views})
    changed = spec_path.parents[1] / spec.run / "spec.json"
    spec.save(changed)
    return changed


def moving_dot(frames, step):
    """One view of one video (1, 1, 3, frames, 8, 24): a dot that moves right by `step` pixels a frame."""
    video = torch.zeros(1, 1, 3, frames, 8, 24)
    for t in range(frames):
        video[..., t, 4, 2 + step * t] = 1
    return video


def test_every_test_video_is_scored_once(prepared):
    spec_path = prepared("kinetics400", model="dynamonet")
    fit(spec_path)
    evaluate(spec_path)
    record = read_json(spec_path.parent / "evaluate.json")
    table = pd.read_parquet(spec_path.parent / "logits.parquet")
    manifest = pd.read_parquet("results/tiny/manifests/kinetics400.parquet")
    listed = manifest[manifest["split_1"] == "test"]
    assert table["id"].tolist() == listed["id"].tolist()
    assert record["counts"] == {"listed": 12, "scored": 12, "unusable": []}
    scores = table.filter(like="score_").to_numpy()
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)
    assert record["metrics"]["top1"] == pytest.approx((scores.argmax(1) == table["class_index"]).mean())
    assert record["metrics"]["psnr_copy_db"] > 10
    examples = np.load(spec_path.parent / "predictions.npz")
    assert examples["frames"].shape == (4, 9, 32, 32, 3)
    assert examples["predicted"].shape == (4, 8, 32, 32, 3)
    assert examples["filters"].shape == (4, 8, 1, 1, 5, 5)


def test_a_pretrained_run_is_scored_by_its_prediction_alone(prepared):
    spec_path = prepared("pretraining")
    fit(spec_path)
    evaluate(spec_path)
    metrics = read_json(spec_path.parent / "evaluate.json")["metrics"]
    kinds = "psnr", "psnr_future", "psnr_horizon"
    assert set(metrics) == {f"{kind}{copy}_db" for kind in kinds for copy in ("", "_copy")}
    assert metrics["psnr_horizon_db"] == [metrics["psnr_future_db"]]


def test_a_longer_horizon_is_scored_step_by_step(prepared):
    spec_path = with_views(prepared("kinetics400", model="dynamonet"), Views(clips=2, horizon=3))
    fit(spec_path)
    evaluate(spec_path)
    metrics = read_json(spec_path.parent / "evaluate.json")["metrics"]
    table = pd.read_parquet(spec_path.parent / "logits.parquet")
    for copy in ("", "_copy"):
        steps_db = metrics[f"psnr_horizon{copy}_db"]
        assert steps_db[0] == metrics[f"psnr_future{copy}_db"]
        assert steps_db == pytest.approx([table[f"psnr_horizon{copy}_{step}_db"].mean() for step in (1, 2, 3)])
    assert metrics["psnr_horizon_copy_db"][0] > metrics["psnr_horizon_copy_db"][2]
    assert np.load(spec_path.parent / "predictions.npz")["frames"].shape == (4, 9, 32, 32, 3)


def test_a_model_that_only_classifies_is_not_scored_on_its_horizon(prepared):
    spec_path = with_views(prepared("kinetics400", model="slow_r50"), Views(horizon=3))
    fit(spec_path)
    evaluate(spec_path)
    assert set(read_json(spec_path.parent / "evaluate.json")["metrics"]) == {"top1", "top5", "mean_class_accuracy"}


def test_another_manifest_than_the_fits_is_refused(prepared):
    spec_path = prepared("kinetics400", model="dynamonet")
    fit(spec_path)
    path = spec_path.parents[2] / "manifests" / "kinetics400.parquet"
    manifest = Manifest.load(path)
    Manifest(manifest.rows, manifest.layout, manifest.root, manifest.classes[::-1]).save(path)
    with pytest.raises(UserError, match="trained on another manifest"):
        evaluate(spec_path)


def test_an_unfinished_run_is_refused(prepared):
    with pytest.raises(UserError, match="has no finished weights"):
        evaluate(prepared("kinetics400", model="dynamonet"))


def test_metrics_by_hand():
    scores = np.eye(6)[[0, 1, 2, 0, 5]] + np.linspace(0.3, 0, 6)
    metrics = classification_metrics(scores, np.array([0, 1, 2, 3, 3]))
    assert metrics["top1"] == pytest.approx(3 / 5)
    assert metrics["mean_class_accuracy"] == pytest.approx(3 / 4)
    # of the two missed videos class 3 is fourth, then fifth
    assert metrics["top5"] == pytest.approx(1)
    assert "top5" not in classification_metrics(scores[:, :5], np.array([0, 1, 2, 0, 1]))


def test_the_future_is_scored_against_the_frames_after_the_clip():
    views, frames = moving_dot(frames=8, step=2), 5
    filters = torch.zeros(1, frames, 1, 1, 5, 5)
    filters[..., 2, 0] = 1  # two pixels to the right
    seen = views[0, :, :, :frames]
    output = ModelOutput(torch.zeros(1, 2), predict_frames(seen, filters), filters)
    scores = score_views(output, views, frames, examples=1)
    assert scores.psnr_db == [100]
    assert scores.psnr_horizon_db[0].tolist() == [100] * 3
    dot_missed = -10 * np.log10(2 / (8 * 24))
    assert scores.psnr_copy_db == pytest.approx([dot_missed])
    assert scores.psnr_horizon_copy_db[0].tolist() == pytest.approx([dot_missed] * 3)
    assert scores.examples[0]["frames"].shape == (6, 8, 24, 3)
    stopped = torch.zeros_like(filters)
    stopped[..., 2, 2] = 1
    half_right = ModelOutput(output.logits, output.predicted_frames, stopped)  # the first step right, then no motion
    scores = score_views(half_right, views, frames)
    assert scores.psnr_horizon_db[0].tolist() == pytest.approx([100, dot_missed, dot_missed])


def test_a_horizon_beyond_what_a_model_predicts_is_refused():
    views = moving_dot(frames=7, step=2)
    with pytest.raises(UserError, match=r"views\.horizon is 2"):
        score_views(ModelOutput(torch.zeros(1, 2), views[0, :, :, :5]), views, 5)


def test_a_model_that_predicts_without_filters_is_scored_without_examples():
    views = torch.rand(1, 1, 3, 5, 8, 8)
    scores = score_views(ModelOutput(torch.zeros(1, 2), views[:, 0, :, :4]), views, 4, examples=1)
    assert len(scores.psnr_db) == 1
    assert scores.examples == []


def test_psnr_by_hand():
    target = torch.zeros(1, 3, 2, 4, 4)
    predicted = target.clone()
    predicted[:, :, 0] = 0.1
    torch.testing.assert_close(frame_psnr_db(predicted, target), torch.tensor([[20.0, 100.0]]))
