"""Every real clip through the whole path: prepared, read, cut for training, scored."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from dynamonet.data.clips import ClipShape, EvalClips, TrainClips
from dynamonet.data.manifest import Manifest
from dynamonet.data.preparation import prepare
from dynamonet.engine.distribution import World
from dynamonet.engine.evaluate import score
from dynamonet.engine.scores import write_scores
from dynamonet.expansion import expand
from dynamonet.models.classifier import build_classifier
from dynamonet.study import load_study

SHAPE = ClipShape(frames=8, stride=2, crop=32, extra_frames=1)


def test_every_real_clip_is_prepared_cut_and_scored(real_clips, tiny, tmp_path):
    root = Path(os.path.commonpath(real_clips))
    prepare("unlabelled", root, tmp_path / "m.parquet", max_unusable=1, workers=2, checked=tmp_path / "checked")
    manifest = Manifest.load(tmp_path / "m.parquet")
    rows = manifest.rows[manifest.rows["status"] == "ok"].reset_index(drop=True)
    assert set(rows["path"]) == {path.relative_to(root).as_posix() for path in real_clips} - {
        "edge/decord_corrupted.mp4"
    }

    clips = TrainClips(rows, manifest.files_root, SHAPE, seed=0, flip=True)
    for row in range(len(rows)):
        assert clips[0, row]["video"].shape == (3, 9, 32, 32)

    views = EvalClips(rows, manifest.files_root, SHAPE, clips=2, crops=3)
    spec = next(
        run for run in expand(load_study(tiny)).runs.values() if run.build == "dynamonet" and run.task == "train"
    )
    model = build_classifier(spec.build, 12, spec.options, spec.clip).eval()
    with torch.no_grad():
        scores = score(spec, model, views, torch.device("cpu"), 0, World.of({}))
    assert np.stack(scores.classes).shape == (len(rows), 12)
    assert np.isfinite(scores.psnr_db).all()
    labelled = rows.assign(class_index=np.arange(len(rows)) % 12)
    metrics = write_scores(tmp_path, spec, labelled, scores, np.array([], int))
    table = pd.read_parquet(tmp_path / "logits.parquet")
    assert table["id"].tolist() == rows["id"].tolist()
    np.testing.assert_array_equal(table.filter(regex=r"^score_\d+$"), np.stack(scores.classes))
    assert table["psnr_db"].mean() == metrics["psnr_db"]
