"""What a study will take on disk. Free of torch."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dynamonet.planning.footprint import Footprint
from dynamonet.planning.profile import Profile
from dynamonet.planning.videos import Videos
from dynamonet.planning.workload import Job, Workload
from dynamonet.study_schema import Study

MANIFEST_ROW_BYTES = 300
SCORE_ROW_BYTES, SCORE_BYTES = 100, 8
"""Of logits.parquet: a video's id and PSNR, and the score and the logit of a class."""
NEIGHBOURS_ROW_BYTES = 2 * 20 * 50
"""Of neighbours.parquet: 20 neighbours by two kinds of features."""
EXAMPLES = 4
"""Videos of a test part whose predicted frames are kept."""


@dataclass(frozen=True)
class Disk:
    """Bytes, about, of what is not there yet. None: not known."""

    weights: dict[str, int]
    """Final weights, by experiment; a run that several need is in each."""
    scores: dict[str, int]
    """Scores, neighbours and example frames, by experiment."""
    weights_and_scores: int
    """Of all runs, each once."""
    checkpoints: int
    """Of the largest fits that can be under way at once; gone when they are done."""
    copies: int | None
    manifests: int | None
    free: int

    def of(self, experiment: str) -> int:
        """Weights and scores of an experiment; of all runs, each once, for any other name."""
        if experiment not in self.weights:
            return self.weights_and_scores
        return self.weights[experiment] + self.scores[experiment]

    @property
    def needed(self) -> int:
        """What is known of it, at the worst moment."""
        return self.weights_and_scores + self.checkpoints + (self.copies or 0) + (self.manifests or 0)


def disk_need(
    study: Study,
    work: Workload,
    profile: Profile,
    devices: int,
    footprints: Mapping[str, Footprint],
    videos: Mapping[str, Videos | None],
) -> Disk:
    """Of the jobs that are left. devices: as many at once as the plan has."""

    def weights(keys) -> int:
        jobs = [job for job in work.left(keys) if job.stage in ("fit", "adopt")]
        return sum(footprints[job.spec.model].weights_bytes for job in jobs)

    def scores(keys) -> int:
        jobs = [job for job in work.left(keys) if job.stage in ("evaluate", "retrieve")]
        return sum(_score_bytes(job, videos[job.spec.dataset]) for job in jobs)

    fits = [job for job in work.left(work.jobs) if job.stage == "fit"]
    at_once = min([profile.jobs, *(max(1, devices // profile.devices(job.rule)) for job in fits)])
    sizes = sorted((footprints[job.spec.model].checkpoint_bytes(job.spec.recipe) for job in fits), reverse=True)
    unprepared = [dataset for dataset in study.datasets if f"prepare {dataset}" not in work.done]
    counted = [videos[dataset] for dataset in unprepared]
    return Disk(
        weights={name: weights(keys) for name, keys in work.experiments.items()},
        scores={name: scores(keys) for name, keys in work.experiments.items()},
        weights_and_scores=weights(work.jobs) + scores(work.jobs),
        checkpoints=sum(sizes[:at_once]),
        copies=None if any(study.datasets[dataset].copies for dataset in unprepared) else 0,
        manifests=None if None in counted else MANIFEST_ROW_BYTES * sum(one.listed for one in counted),
        free=shutil.disk_usage(existing(study.directory)).free,
    )


def existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    path = Path(path).absolute()
    return path if path.exists() else existing(path.parent)


def _score_bytes(job: Job, counted: Videos | None) -> int:
    """About; 0 for a data set of which no count is known."""
    spec = job.spec
    if counted is None or spec.split not in counted.splits:
        return 0
    videos = counted.splits[spec.split]["test"]
    if job.stage == "retrieve":
        return videos * NEIGHBOURS_ROW_BYTES
    classes = 0 if spec.task == "pretrain" else counted.classes
    frames = EXAMPLES * (2 * spec.clip.frames + 1) * 3 * spec.clip.crop**2 if spec.extra_frames else 0
    return videos * (SCORE_ROW_BYTES + SCORE_BYTES * classes) + frames
