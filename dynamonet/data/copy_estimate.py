"""What prepared copies will take, from a few of them made on trial."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dynamonet.data.check import check_video
from dynamonet.data.copies import CopyInfo, make_copy
from dynamonet.data.copy_recipe import CopyRecipe
from dynamonet.data.sampling import key_digest
from dynamonet.data.video import VideoError
from dynamonet.errors import UserError

SAMPLED_VIDEOS = 8


@dataclass(frozen=True)
class Estimate:
    """Of the copies of `videos` videos, from `sampled` of them."""

    recipe: CopyRecipe
    videos: int
    sampled: int
    unreadable: int
    """Videos drawn that do not decode; others took their place."""
    gigabytes: float
    """10⁹ bytes."""
    core_hours: float
    """CPU time of making and checking the copies on one core of this machine."""
    psnr_mean_db: float
    psnr_min_db: float

    def __str__(self) -> str:
        unreadable = f" ({self.unreadable} more could not be read)" if self.unreadable else ""
        return (
            f"{self.videos} copies with short side {self.recipe.short_side} and crf {self.recipe.crf} will take about"
            f" {self.gigabytes:.3g} GB and {self.core_hours:.2g} core-hours; PSNR-Y {self.psnr_mean_db:.1f} dB on"
            f" average, {self.psnr_min_db:.1f} dB at least; estimated from {self.sampled} videos{unreadable}"
        )


def estimate(sources: Sequence[Path], recipe: CopyRecipe, total_frames: int | None = None) -> Estimate:
    """Make copies of a few sources, the same ones each time, in a temporary folder, and scale what they take.

    It is scaled by `total_frames`, the frames of all sources, or, where they are not known yet, by the number of
    sources. Raises UserError if there is none that can be read.
    """
    copies: list[CopyInfo] = []
    unreadable, seconds = 0, 0.0
    with tempfile.TemporaryDirectory(prefix="copies-") as folder:
        # By the name alone: where the data set lies makes no difference.
        for source in sorted(sources, key=lambda source: key_digest("copy estimate", source.name)):
            try:
                frames = check_video(source).frames
                start = time.process_time()
                copies.append(make_copy(source, Path(folder) / f"{len(copies)}.mp4", recipe, frames))
                seconds += time.process_time() - start
            except VideoError:
                unreadable += 1
            if len(copies) == SAMPLED_VIDEOS:
                break
    if not copies:
        raise UserError(f"None of the {len(sources)} videos to be copied can be read; check that they are unpacked.")
    sampled_frames = sum(copy.frames for copy in copies)
    times = len(sources) / len(copies) if total_frames is None else total_frames / sampled_frames
    return Estimate(
        recipe=recipe,
        videos=len(sources),
        sampled=len(copies),
        unreadable=unreadable,
        gigabytes=times * sum(copy.bytes for copy in copies) / 1e9,
        core_hours=times * seconds / 3600,
        psnr_mean_db=sum(copy.psnr_mean_db for copy in copies) / len(copies),
        psnr_min_db=min(copy.psnr_min_db for copy in copies),
    )
