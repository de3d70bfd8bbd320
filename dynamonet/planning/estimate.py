"""How long a job will take, and how that is known. Nothing is carried over from one device to another. Free of torch.

First what equal jobs took; then a calibration of this device; then, if somebody supposes its speed, the arithmetic at
that speed; else it is not known.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from dynamonet.files import canonical_json
from dynamonet.planning.arithmetic import Supposition
from dynamonet.planning.calibration_file import Calibration
from dynamonet.planning.observed import Observed, Seen
from dynamonet.planning.profile import Profile
from dynamonet.planning.settings import clip_settings, pass_settings, step_settings, view_settings
from dynamonet.planning.videos import Videos
from dynamonet.planning.workload import Job

RUNS, CALIBRATION, LIMIT, SUPPOSED = "runs", "calibration", "limit", "supposed"
NOTHING_TO_DO, UNKNOWN = "copies weights", "unknown"
"""Where an estimate is from."""
MEASURE_S = 60.0
"""What measuring a model takes at most, unless one run of it takes seconds: the stage stops trying after 30 s."""
CALIBRATE = "run `dynamonet calibrate` on a GPU node"


@dataclass(frozen=True)
class Estimate:
    """seconds: of the job from start to end; None: not known. note: what the figure is of, or why there is none."""

    seconds: float | None
    source: str
    note: str = ""


class Estimator:
    """Estimates for one device. device: its name in records and calibrations; None: no device is known at all.

    supposed: its speed, for jobs of which neither runs nor the calibration know a time; None: those have none.
    """

    def __init__(
        self,
        device: str | None,
        observed: Observed,
        calibration: Calibration | None,
        profile: Profile,
        videos: Mapping[str, Videos | None],
        supposed: Supposition | None = None,
    ):
        self.device, self.observed, self.calibration = device, observed, calibration
        self.profile, self.videos, self.supposed = profile, videos, supposed

    def estimate(self, job: Job) -> Estimate:
        if job.stage == "adopt":
            return Estimate(0.0, NOTHING_TO_DO)
        if job.stage == "prepare":
            return Estimate(None, UNKNOWN, "CPUs alone; `dynamonet prepare --estimate` tells what copies take")
        if self.device is None and self.supposed is None:
            return Estimate(None, UNKNOWN, CALIBRATE)
        if job.stage == "measure":
            return self._measure(job)
        return self._fit(job) if job.stage == "fit" else self._score(job)

    def _measure(self, job: Job) -> Estimate:
        seen = self.observed.find(self.device, "measure", 1, job.spec.model_dump(mode="json"))
        if not seen:
            return Estimate(MEASURE_S, LIMIT, "at most, as the stage limits itself")
        return Estimate(median(one.unit_s for one in seen), RUNS, _of(seen))

    def _fit(self, job: Job) -> Estimate:
        spec, processes = job.spec, self.profile.processes(job.rule)
        if spec.recipe.batch_size % (processes * spec.recipe.accumulation):
            return Estimate(None, UNKNOWN, f"{processes} processes cannot share batch_size {spec.recipe.batch_size}")
        settings = step_settings(spec, processes)
        seen = self.observed.find(self.device, "fit", processes, settings)
        if same := [one for one in seen if one.data == canonical_json(clip_settings(spec))]:
            seconds = median(one.start_s for one in same) + median(one.unit_s for one in same) * job.clips
            return Estimate(seconds, RUNS, f"{1 / median(one.unit_s for one in same):.4g} clips/s, {_of(same)}")
        entry = self.calibration and self.calibration.find("steps", settings)
        if not entry:
            if self.supposed is not None:
                return self._supposed(self.supposed.arithmetic.training_flop(job), processes)
            other = "; runs of equal settings read other data" if seen else ""
            return Estimate(None, UNKNOWN, f"{CALIBRATE}{other}")
        if "problem" in entry:
            return Estimate(None, UNKNOWN, entry["problem"])
        rate, note = self._read_beside(job.rule, clip_settings(spec), entry["clips_per_s"])
        shared = "; gradient exchange not included" if processes > 1 else ""
        rate *= processes
        return Estimate(entry["start_s"] + job.clips / rate, CALIBRATION, f"{rate:.4g} clips/s, {note}{shared}")

    def _score(self, job: Job) -> Estimate:
        spec, processes = job.spec, self.profile.processes(job.rule)
        counted = self.videos[spec.dataset]
        if counted is None or spec.split not in counted.splits:
            return Estimate(None, UNKNOWN, f"the number of videos of {spec.dataset}: put it where the study says it is")
        parts = counted.splits[spec.split]
        videos = parts["test"] + (parts["train"] if job.stage == "retrieve" else 0)
        settings, reading = pass_settings(spec), view_settings(spec)
        seen = self.observed.find(self.device, job.stage, processes, settings)
        if same := [one for one in seen if one.data == canonical_json(reading)]:
            per_video_s = median(one.unit_s for one in same)
            return Estimate(per_video_s * videos, RUNS, f"{1 / per_video_s:.4g} videos/s, {_of(same)}")
        entry = self.calibration and self.calibration.find("passes", settings)
        if not entry:
            if self.supposed is not None:
                return self._supposed(self.supposed.arithmetic.video_flop(spec) * videos, processes)
            return Estimate(None, UNKNOWN, CALIBRATE)
        if "problem" in entry:
            return Estimate(None, UNKNOWN, entry["problem"])
        rate, note = self._read_beside(job.rule, reading, entry["views_per_s"] / settings["views"])
        rate *= processes
        return Estimate(entry["start_s"] + videos / rate, CALIBRATION, f"{rate:.4g} videos/s, {note}")

    def _supposed(self, flop: float, processes: int) -> Estimate:
        note = f"{flop / 1e15:.4g} · 10¹⁵ operations at a supposed {self.supposed.tflops:g} TFLOP/s"
        return Estimate(self.supposed.seconds(flop, processes), SUPPOSED, note)

    def _read_beside(self, rule: str, reading: dict, per_s: float) -> tuple[float, str]:
        """Units per second of one process that computes `per_s`, once its loader has to read them; what limits it."""
        entry = self.calibration.find("reading", reading)
        if entry is None:
            return per_s, "reading of videos not included"
        workers = self.profile.number(rule, "loader_workers", 0)
        if workers == 0:  # read and compute by turns
            return 1 / (1 / per_s + 1 / entry["per_s"]), "reading by turns"
        read = workers * entry["per_s"]
        return min(per_s, read), "the device is the limit" if per_s <= read else f"{workers} loader workers the limit"


def _of(seen: list[Seen]) -> str:
    return f"run {seen[0].name}" if len(seen) == 1 else f"median of {len(seen)} runs such as {seen[0].name}"
