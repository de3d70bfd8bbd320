"""Accuracy of classification: top-1, top-5 and mean class accuracy, and what they could be at worst and best.

Free of torch.
"""

import numpy as np

TOP5_FROM_CLASSES = 6
"""With fewer, every answer is among the first five."""


def video_hits(scores: np.ndarray, class_index: np.ndarray) -> dict[str, np.ndarray]:
    """For each video, bool (videos,), whether its class is the first (`top1`) or among the first five (`top5`).

    scores: (videos, K); class_index: (videos,). Of equal scores the lower class comes first. Top-5 is absent where
    there are five classes or fewer.
    """
    own = scores[np.arange(len(scores)), class_index][:, None]
    before = np.arange(scores.shape[1]) < class_index[:, None]
    rank = (scores > own).sum(1) + ((scores == own) & before).sum(1)  # 0 for the first; sorting takes longer
    top = {"top1": rank == 0}
    return top if scores.shape[1] < TOP5_FROM_CLASSES else {**top, "top5": rank < 5}


def class_mean(values: np.ndarray, class_index: np.ndarray) -> float:
    """The mean over the classes that there are of the mean of a class. values, class_index: (videos,)."""
    counts = np.bincount(class_index)
    sums = np.bincount(class_index, weights=values)
    return float(np.mean(sums[counts > 0] / counts[counts > 0]))


def classification_metrics(scores: np.ndarray, class_index: np.ndarray) -> dict[str, float]:
    """top-1, top-5 and mean class accuracy in [0, 1]. scores: (videos, K); class_index: (videos,).

    Mean class accuracy is the mean, over the classes that have a video, of the top-1 of a class. Top-5 is absent where
    there are five classes or fewer.
    """
    return _metrics(video_hits(scores, class_index), class_index)


def accuracy_bounds(
    scores: np.ndarray, class_index: np.ndarray, unscored_class_index: np.ndarray
) -> dict[str, list[float]]:
    """For each metric what it would be over all listed videos if those without scores were all wrong, or all right.

    unscored_class_index: the classes of the videos without scores, (unscored,). Returns metric -> [lowest, highest].
    """
    hits = video_hits(scores, class_index)
    classes = np.concatenate([class_index, unscored_class_index])
    lowest, highest = (
        _metrics(
            {name: np.append(hit, np.full(len(unscored_class_index), right)) for name, hit in hits.items()}, classes
        )
        for right in (False, True)
    )
    return {name: [lowest[name], highest[name]] for name in lowest}


def _metrics(hits: dict[str, np.ndarray], class_index: np.ndarray) -> dict[str, float]:
    means = {name: float(hit.mean()) for name, hit in hits.items()}
    return {**means, "mean_class_accuracy": class_mean(hits["top1"], class_index)}
