import numpy as np
import pandas as pd
import pytest
import torch

from dynamonet.data.manifest import Manifest
from dynamonet.engine.evaluate import classification_metrics, evaluate, frame_psnr_db
from dynamonet.engine.fit import fit
from dynamonet.errors import UserError
from dynamonet.files import read_json


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
    assert examples["filters"].shape == (4, 8, 5, 5)


def test_a_pretrained_run_is_scored_by_its_prediction_alone(prepared):
    spec_path = prepared("pretraining")
    fit(spec_path)
    evaluate(spec_path)
    metrics = read_json(spec_path.parent / "evaluate.json")["metrics"]
    assert set(metrics) == {"psnr_db", "psnr_copy_db", "psnr_future_db", "psnr_future_copy_db"}


def test_evaluation_is_repeatable(prepared):
    spec_path = prepared("kinetics400", model="slow_r50")
    fit(spec_path)
    evaluate(spec_path)
    once = (spec_path.parent / "logits.parquet").read_bytes()
    evaluate(spec_path, workers=1)
    assert (spec_path.parent / "logits.parquet").read_bytes() == once


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


def test_psnr_by_hand():
    target = torch.zeros(1, 3, 2, 4, 4)
    predicted = target.clone()
    predicted[:, :, 0] = 0.1
    torch.testing.assert_close(frame_psnr_db(predicted, target), torch.tensor([[20.0, 100.0]]))
