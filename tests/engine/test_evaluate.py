import numpy as np
import pandas as pd
import pytest

from dynamonet.cli import main
from dynamonet.data.manifest import Manifest
from dynamonet.engine.accuracy import accuracy_bounds, classification_metrics
from dynamonet.engine.evaluate import evaluate
from dynamonet.engine.fit import fit
from dynamonet.errors import UserError
from dynamonet.files import read_json
from dynamonet.spec import Views, load_spec


def with_views(spec_path, views):
    """The spec of the same run with other views."""
    spec = load_spec(spec_path).model_copy(update={"views": views})
    changed = spec_path.parents[1] / spec.run / "spec.json"
    spec.save(changed)
    return changed


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


def test_every_metric_follows_from_the_table(prepared):
    spec_path = with_views(prepared("kinetics400", model="dynamonet"), Views(clips=2))
    fit(spec_path)
    evaluate(spec_path)
    metrics = read_json(spec_path.parent / "evaluate.json")["metrics"]
    table = pd.read_parquet(spec_path.parent / "logits.parquet")
    scores, labels = table.filter(regex=r"^score_\d+$").to_numpy(), table["class_index"].to_numpy()
    for name, value in classification_metrics(scores, labels).items():
        assert metrics[name] == value
    for name in ("psnr_db", "psnr_copy_db"):
        assert metrics[name] == pytest.approx(table[name].mean())
    # Means of softmax over views are not the softmax of mean logits, but for views as alike as these nearly so.
    logits = table.filter(regex=r"^logit_\d+$").to_numpy()
    softmax = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(softmax, scores, atol=1e-3)
    assert np.ptp(logits) > 10 * np.ptp(scores)


def without(spec_path, *places):
    """List the test videos in these places of the tiny data set as ones that do not decode; returns all of the part."""
    path = spec_path.parents[2] / "manifests" / "kinetics400.parquet"
    manifest = Manifest.load(path)
    test = manifest.rows.index[manifest.rows["split_1"] == "test"]
    manifest.rows.loc[test[list(places)], ["status", "reason"]] = ["undecodable", "moov atom not found"]
    manifest.save(path)
    return manifest.rows.loc[test]


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_file_that_has_changed_since_its_preparation_ends_the_evaluation_in_one_sentence(workers, prepared, capfd):
    spec_path = prepared("kinetics400", model="backbone")
    fit(spec_path)
    path = spec_path.parents[2] / "manifests" / "kinetics400.parquet"
    manifest = Manifest.load(path)
    row = manifest.rows.index[manifest.rows["split_1"] == "test"][3]
    manifest.rows.loc[row, "file_bytes"] += 1
    manifest.save(path)
    capfd.readouterr()
    assert main(["evaluate", "--spec", str(spec_path), "--workers", workers]) == 2
    (said,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    video = manifest.rows.loc[row]
    assert said.startswith(f"error: Video {manifest.files_root / video['file']} ({video['id']}) has ")
    assert not (spec_path.parent / "evaluate.json").exists()


def test_videos_that_cannot_be_read_are_named_and_bound_the_metrics(prepared):
    spec_path = prepared("kinetics400", model="backbone")
    listed = without(spec_path, 0, 7)
    fit(spec_path)
    evaluate(spec_path)
    record = read_json(spec_path.parent / "evaluate.json")
    table = pd.read_parquet(spec_path.parent / "logits.parquet")
    assert (record["counts"]["listed"], record["counts"]["scored"], len(table)) == (12, 10, 10)
    lost = listed.iloc[[0, 7]]
    assert [video["id"] for video in record["counts"]["unusable"]] == lost["id"].tolist()
    assert not set(lost["id"]) & set(table["id"])
    scores, labels = table.filter(like="score_").to_numpy(), table["class_index"].to_numpy()
    assert record["metrics"]["bounds"] == accuracy_bounds(scores, labels, lost["class_index"].to_numpy())
    hits = round(record["metrics"]["top1"] * 10)
    assert record["metrics"]["bounds"]["top1"] == [hits / 12, (hits + 2) / 12]
