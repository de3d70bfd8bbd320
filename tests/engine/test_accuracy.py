from itertools import product

import numpy as np
import pytest

from dynamonet.engine.accuracy import accuracy_bounds, class_mean, classification_metrics


def test_metrics_by_hand():
    scores = np.eye(6)[[0, 1, 2, 0, 5]] + np.linspace(0.3, 0, 6)
    metrics = classification_metrics(scores, np.array([0, 1, 2, 3, 3]))
    assert metrics["top1"] == pytest.approx(3 / 5)
    assert metrics["mean_class_accuracy"] == pytest.approx(3 / 4)
    # of the two missed videos class 3 is fourth, then fifth
    assert metrics["top5"] == pytest.approx(1)
    assert "top5" not in classification_metrics(scores[:, :5], np.array([0, 1, 2, 0, 1]))


def reference(scores, class_index):
    """The metrics one video after the other, in the words of their definitions."""
    ranks = [sum(other > row[label] for other in row) for row, label in zip(scores, class_index, strict=True)]
    by_class = {}
    for rank, label in zip(ranks, class_index, strict=True):
        by_class.setdefault(label, []).append(rank == 0)
    shares = [sum(hits) / len(hits) for hits in by_class.values()]
    top1, top5 = (sum(rank < k for rank in ranks) / len(ranks) for k in (1, 5))
    return {"top1": top1, "top5": top5, "mean_class_accuracy": sum(shares) / len(shares)}


@pytest.mark.parametrize(("videos", "classes"), [(1, 6), (7, 30), (400, 12), (400, 101)])
def test_metrics_equal_their_definitions(videos, classes):
    rng = np.random.default_rng(videos + classes)
    scores, labels = rng.random((videos, classes)), rng.integers(classes, size=videos)
    scores[np.arange(videos), labels] += 0.3
    assert classification_metrics(scores, labels) == pytest.approx(reference(scores, labels))


def test_classes_without_a_video_do_not_count():
    assert class_mean(np.array([1.0, 0.0, 1.0]), np.array([2, 2, 7])) == pytest.approx(0.75)


def test_bounds_by_hand():
    # class 0: one of two right; class 1: its only video right; class 2 is known by a video without scores alone
    scores = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.3, 0.7, 0.0]])
    bounds = accuracy_bounds(scores, np.array([0, 0, 1]), np.array([2, 1]))
    assert bounds == {"top1": [2 / 5, 4 / 5], "mean_class_accuracy": [pytest.approx(1 / 3), pytest.approx(2.5 / 3)]}


def test_nothing_that_the_unscored_videos_could_be_lies_outside_of_the_bounds():
    rng = np.random.default_rng(0)
    scores, labels, unscored = rng.random((20, 8)), rng.integers(8, size=20), np.array([0, 3, 3, 5])
    bounds = accuracy_bounds(scores, labels, unscored)
    possible = []
    for right in product((False, True), repeat=len(unscored)):
        answers = np.eye(8)[np.where(right, unscored, (unscored + 1) % 8)]
        if not any(right):  # wrong for top-5 too
            answers = np.eye(8)[(unscored + 1) % 8] - 2 * np.eye(8)[unscored]
        possible.append(classification_metrics(np.concatenate([scores, answers]), np.concatenate([labels, unscored])))
    for name, (lowest, highest) in bounds.items():
        values = [metrics[name] for metrics in possible]
        assert (min(values), max(values)) == (pytest.approx(lowest), pytest.approx(highest))
