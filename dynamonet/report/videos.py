"""What the runs of a study said of each video, from their `logits.parquet`; every file is read once.

A file that contradicts its record, or another run's labels, is an error: no table says two things of one run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
from pyarrow import parquet

from dynamonet.data.sampling import generator
from dynamonet.engine.accuracy import video_hits
from dynamonet.errors import UserError
from dynamonet.records import Record
from dynamonet.report.statistics import interval_over_videos

ROUNDING = 1e-9


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
    """`of(run)`: the scored videos of a run of the study in `directory`.

    evaluations: the record of each run that has one; datasets: the data set of each run.
    """

    def __init__(self, directory: Path, evaluations: Mapping[str, Record], datasets: Mapping[str, str]):
        self.directory, self.evaluations, self.datasets = directory, evaluations, datasets
        self._labels: dict[str, list[tuple[Path, pd.Index, np.ndarray]]] = {}
        self._read: dict[str, ScoredVideos] = {}
        self._ids: dict[tuple[str, ...], pd.Index] = {}

    def of(self, run: str) -> ScoredVideos:
        """Raises UserError naming the file if it cannot be read, holds no scores, or holds a video twice.

        And where its record counts other videos or another accuracy, or another run has another class for a video.
        """
        if run not in self._read:
            path = self.directory / f"runs/{run}/logits.parquet"
            scored = self._of_file(path)
            if run in self.evaluations:
                _check_record(path, scored, self.evaluations[run])
            self._check_labels(path, self.datasets[run], scored)
            self._read[run] = scored
        return self._read[run]

    def _check_labels(self, path: Path, dataset: str, scored: ScoredVideos) -> None:
        lists = self._labels.setdefault(dataset, [])
        for other, ids, class_index in lists:
            if ids is scored.ids:
                theirs, ours = class_index, scored.class_index
            else:
                place = scored.ids.get_indexer(ids)
                theirs, ours = class_index[place >= 0], scored.class_index[place[place >= 0]]
            if (theirs != ours).any():
                ids = ids if ids is scored.ids else ids[place >= 0]
                video = ids[(theirs != ours).argmax()]
                raise UserError(f"{path} has another class for video {video} than {other}: evaluate both again.")
        if not any(ids is scored.ids for _, ids, _ in lists):
            lists.append((path, scored.ids, scored.class_index))

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
        if not np.isfinite(by_class).all():
            raise UserError(f"{path} has scores that are not finite: evaluate this run again.")
        class_index = table["class_index"].to_numpy()
        if len(ids) and not 0 <= class_index.min() <= class_index.max() < len(scores):
            raise UserError(f"{path} has a class_index outside its {len(scores)} classes: evaluate this run again.")
        return ScoredVideos(ids, class_index, by_class.argmax(0), len(scores), video_hits(by_class.T, class_index))


def _check_record(path: Path, scored: ScoredVideos, record: Record) -> None:
    """top1, top5 and the count of the record must be those of the file, up to the last bits of a mean."""
    if len(scored.ids) != (counted := record.number("counts.scored")):
        raise UserError(f"{path} holds {len(scored.ids)} videos, its record {counted:.0f}: evaluate this run again.")
    for metric, hits in scored.hits.items():
        share, recorded = float(hits.mean()) if len(hits) else 0.0, record.number(f"metrics.{metric}")
        if abs(share - recorded) > ROUNDING:
            raise UserError(
                f"{path} gives a {metric} of {share:.6g}, its record has {recorded:.6g}: evaluate this run again."
            )


def mean_hits(evaluations: Sequence[ScoredVideos], metric: str) -> pd.Series:
    """One value per video, by id, whose mean is the mean over the evaluations of their accuracy, in [0, 1].

    A video of several evaluations (other seeds) has the mean of its hits: it is one video, however often it was scored.
    """
    return _combined([(e.ids, e.hits[metric].astype(float)) for e in evaluations])


def mean_differences(pairs: Sequence[tuple[ScoredVideos, ScoredVideos]], metric: str) -> pd.Series:
    """As `mean_hits`, of the difference a − b over the videos that both of a pair have scored, joined by id."""
    return _combined([(ids, a.astype(float) - b) for ids, a, b in (common(*pair, metric) for pair in pairs)])


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


def _combined(of_runs: list[tuple[pd.Index, np.ndarray]]) -> pd.Series:
    """of_runs: of each run the ids of its videos and one value for each, both (videos,)."""
    of_runs = [(ids, values) for ids, values in of_runs if len(ids)]
    if not of_runs:
        return pd.Series(dtype=float)
    first = of_runs[0][0]
    if all(ids is first for ids, _ in of_runs):
        return pd.Series(np.mean([values for _, values in of_runs], axis=0), first)
    shares = pd.concat([pd.Series(values / len(values), ids) for ids, values in of_runs])
    shares = shares.groupby(level=0, sort=True).sum() / len(of_runs)
    # Rounded, so that values which differ in their last bit are one: only distinct values cost time.
    return (shares * len(shares)).round(12)
