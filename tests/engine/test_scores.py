import numpy as np
import pandas as pd
import pytest
import torch

from dynamonet.engine.scores import Scores, frame_psnr_db, score_views, write_scores
from dynamonet.errors import UserError
from dynamonet.models.output import ModelOutput
from dynamonet.models.prediction import predict_frames
from dynamonet.spec import load_spec


def moving_dot(frames, step):
    """One view of one video (1, 1, 3, frames, 8, 24): a dot that moves right by `step` pixels a frame."""
    video = torch.zeros(1, 1, 3, frames, 8, 24)
    for t in range(frames):
        video[..., t, 4, 2 + step * t] = 1
    return video


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


def test_views_are_averaged_after_the_softmax_and_logits_as_they_are():
    logits = torch.tensor([[0.0, 0.0], [2.0, -2.0], [1.0, 3.0], [5.0, 3.0]])
    scores = score_views(ModelOutput(logits), torch.zeros(2, 2, 3, 1, 4, 4), 1)
    odds = 1 / (1 + np.exp(-4.0))
    assert scores.classes[0] == pytest.approx([(0.5 + odds) / 2, (1.5 - odds) / 2])
    assert scores.logits[0].tolist() == [1.0, -1.0]
    assert scores.logits[1].tolist() == [3.0, 3.0]


def test_scores_that_are_no_numbers_are_refused(prepared, tmp_path):
    spec = load_spec(prepared("kinetics400", model="backbone"))
    rows = pd.DataFrame({"id": ["first", "second"], "class_index": [0, 1]})
    classes = [np.array([0.5, 0.5]), np.array([np.nan, np.nan])]
    with pytest.raises(UserError, match="the scores of video second are not finite"):
        write_scores(tmp_path, spec, rows, Scores(classes=classes, logits=classes), np.array([], int))
    assert not (tmp_path / "logits.parquet").exists()
