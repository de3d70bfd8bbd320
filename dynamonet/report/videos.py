"""What the runs of a study said of each video, from their `logits.parquet`; every file is read once."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
from pyarrow import parquet

from dynamonet.data.sampling import generator
from dynamonet.engine.accuracy import video_hits
from dynamonet.errors import UserError
from dynamonet.report.statistics import interval_over_videos


@dataclass(frozen=True)
class ScoredVideos:
    """The videos of one evaluation, in the order of its file.

    ids: (videos,), each once; class_index, predicted: (videos,), of `classes` classes; hits: `top1` and, with six
    classes or more, `top5`, bool (videos,).
    """

    ids: pd.Index
    class_index: np.ndarray
    predicted: np.ndarray
    classes: int
    hits: dict[str, np.ndarray]


class VideoScores:
    """`of(run)`: the scored videos of a run of the study in `directory`."""

    def __init__(self, directory: Path):
        self.directory = directory
        self._read: dict[str, ScoredVideos] = {}
        self._ids: dict[tuple[str, ...], pd.Index] = {}

    def of(self, run: str) -> ScoredVideos:
        """Raises UserError naming the file if it cannot be read, holds no scores, or holds a video twice."""
        if run not in self._read:
            self._read[run] = self._of_file(self.directory / f"runs/{run}/logits.parquet")
        return self._read[run]

    def _of_file(self, path: Path) -> ScoredVideos:
        try:
            file = parquet.ParquetFile(path)
            names = set(file.schema_arrow.names)
            scores = [f"score_{k}" for k in range(sum(name.startswith("score_") for name in names))]
            columns = ["id", "class_index", *scores]
            if not scores or not set(columns) <= names:
                raise UserError(f"{path} holds no class scores: evaluate this run again.")
            table = file.read(columns=columns)
        except (OSError, pyarrow.ArrowException) as error:
            raise UserError(f"{path} cannot be read ({error}): evaluate this run again.") from error
        # The runs of a study share few lists of videos: each is kept once.
        names = tuple(table["id"].to_pylist())
        ids = self._ids.setdefault(names, pd.Index(names))
        if not ids.is_unique:
            raise UserError(f"{path} holds video {ids[ids.duplicated()][0]} twice: evaluate this run again.")
        by_class = np.stack([table[name].to_numpy() for name in scores])  # (K, videos)
        class_index = table["class_index"].to_numpy()
        if len(ids) and not 0 <= class_index.min() <= class_index.max() < len(scores):
            raise UserError(f"{path} has a class_index outside its {len(scores)} classes: evaluate this run again.")
        return ScoredVideos(ids, class_index, by_class.argmax(0), len(scores), video_hits(by_class.T, class_index))


def mean_hits(evaluations: Sequence[ScoredVideos], metric: str) -> pd.Series:
    """One value per video, by id, whose mean is the mean over the evaluations of their accuracy, in [0, 1].

    A video of several evaluations (other seeds) has the mean of its hits: it is one video, however often it was scored.
    """
    return _combined([pd.Series(e.hits[metric].astype(float), e.ids) for e in evaluations])


def mean_differences(pairs: Sequence[tuple[ScoredVideos, ScoredVideos]], metric: str) -> pd.Series:
    """As `mean_hits`, of the difference a − b over the videos that both of a pair have scored, joined by id."""
    return _combined([pd.Series(a.astype(float) - b, ids) for ids, a, b in (common(*pair, metric) for pair in pairs)])


def common(a: ScoredVideos, b: ScoredVideos, metric: str) -> tuple[pd.Index, np.ndarray, np.ndarray]:
    """The videos that both have scored, and what each has right of them, bool (videos,)."""
    if a.ids is b.ids:
        return a.ids, a.hits[metric], b.hits[metric]
    place = b.ids.get_indexer(a.ids)
    both = place >= 0
    return a.ids[both], a.hits[metric][both], b.hits[metric][place[both]]


def percent_interval(values: pd.Series, *keys: str) -> tuple[float, float]:
    """95 % bootstrap interval over videos of the mean of `values`, in %; the resamples are drawn by `keys`."""
    low, high = interval_over_videos(values.to_numpy(), generator("report", "videos", *keys))
    return 100 * low, 100 * high


def _combined(of_runs: list[pd.Series]) -> pd.Series:
    of_runs = [values for values in of_runs if len(values)]
    if not of_runs:
        return pd.Series(dtype=float)
    if all(values.index is of_runs[0].index for values in of_runs):
        return pd.Series(np.mean([values.to_numpy() for values in of_runs], axis=0), of_runs[0].index)
    shares = pd.concat([values / len(values) for values in of_runs]).groupby(level=0, sort=True).sum() / len(of_runs)
    # Rounded, so that values which differ in their last bit are one: only distinct values cost time.
    return (shares * len(shares)).round(12)
