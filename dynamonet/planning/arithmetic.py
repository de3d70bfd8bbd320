"""The arithmetic of jobs, and the times that it would take at a speed that somebody supposes. Free of torch."""

from collections.abc import Mapping
from dataclasses import dataclass

from dynamonet.planning.footprint import Footprint, footprint
from dynamonet.planning.workload import Job
from dynamonet.spec import RunSpec

PASSES_OF_TRAINING, FLOP_PER_MAC = 3, 2
"""A step is a forward pass, and a backward pass of two."""


@dataclass(frozen=True)
class Arithmetic:
    """Floating-point operations of jobs. footprints: by model; classes: with which the models were counted."""

    footprints: Mapping[str, Footprint]
    classes: int

    def training_flop(self, job: Job) -> float:
        """Of a job's training: 3 · 2 · GMACs · clips; 0 for a job that trains nothing."""
        gmacs = self.footprints[job.spec.model].gmacs_per_clip
        return PASSES_OF_TRAINING * FLOP_PER_MAC * gmacs * 1e9 * job.clips

    def video_flop(self, spec: RunSpec) -> float:
        """Of the views of one test video, a forward pass each: 2 · GMACs · views, at the crop of the views."""
        crop = spec.views.crop or spec.clip.crop
        counted = self.footprints[spec.model]
        if crop != spec.clip.crop:
            counted = footprint(spec.build, spec.options, spec.clip, self.classes, crop)
        return FLOP_PER_MAC * counted.gmacs_per_clip * 1e9 * spec.views.clips * spec.views.crops


@dataclass(frozen=True)
class Supposition:
    """That a device sustains `tflops` · 10¹² operations per second."""

    tflops: float
    arithmetic: Arithmetic

    def seconds(self, flop: float, processes: int) -> float:
        """Of a job whose operations so many processes share, each on a device of its own."""
        return flop / (self.tflops * 1e12 * processes)
