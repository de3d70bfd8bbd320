"""The plan of a study: jobs, GPU-hours, wall time and disk of each experiment; forecast beside what it took.

The forecast of a job that was made before it ran is kept in results/<study>/plan.json and never made better afterwards.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dynamonet.errors import UserError
from dynamonet.expansion import Expansion
from dynamonet.files import write_json
from dynamonet.planning.arithmetic import Arithmetic, Supposition
from dynamonet.planning.calibration_file import read_calibrations
from dynamonet.planning.disk import Disk, disk_need
from dynamonet.planning.estimate import CALIBRATION, RUNS, SUPPOSED, UNKNOWN, Estimate, Estimator
from dynamonet.planning.footprint import footprint
from dynamonet.planning.observed import Observed, observe
from dynamonet.planning.profile import Profile
from dynamonet.planning.queue import queue_time
from dynamonet.planning.timetable import Task, longest_chain_s, wall_s
from dynamonet.planning.videos import Videos, count_videos
from dynamonet.planning.workload import ON_DEVICE, STAGES, Job, Workload, workload
from dynamonet.records import Record
from dynamonet.study_schema import Study

ALL = "each job once"


@dataclass(frozen=True)
class Row:
    """One experiment, with the jobs of others that it needs; or all jobs of the study, each once."""

    name: str
    jobs: dict[str, tuple[int, int]]
    """By stage: done, and all."""
    device_s_left: float
    """GPU-seconds, or process-seconds on a CPU, of the jobs that are left and whose time is known."""
    unknown: int
    """Jobs that are left and hold a device, and whose time is not known."""
    wall_s_left: float | None
    """On the devices of the plan, without waiting in a queue; None if a time is not known."""
    chain_s_left: float
    """The longest chain of jobs that wait for each other; a lower bound, of what is known."""
    exaflop_left: float
    """10¹⁸ floating-point operations of the training that is left: 3 · 2 · GMACs · clips."""
    sources: dict[str, int]
    """Of the jobs that are left: how many times are from where."""
    compared: int
    """Jobs that are done and had a forecast before."""
    forecast_s: float
    took_s: float
    """Device-seconds of those: as they were forecast, and as their records have them."""
    forecast_wall_s: float | None
    """The wall time of all jobs as it was forecast before the first of them was done."""
    took_wall_s: float | None
    """From the start of the first job to the end of the last, waiting included; None until all are done."""

    @property
    def ratio(self) -> float | None:
        """Device-seconds that it took over those that were forecast."""
        return self.took_s / self.forecast_s if self.forecast_s else None


@dataclass(frozen=True)
class Plan:
    study: str
    made_at: str
    device: str | None
    devices: int
    """GPUs, or processes where jobs ask for none, at once."""
    profile: str
    rows: list[Row]
    jobs: dict[str, dict[str, Any]]
    """The forecast of each job by key, kept or new: seconds, devices, device, source, note, made_at."""
    disk: Disk
    videos: dict[str, Videos | None]
    queue: str
    """What is known of waiting for the cluster, in words; part of no time given here."""
    on_gpu: bool
    """Whether its devices are GPUs."""
    notes: list[str] = field(default_factory=list)
    tflops: float | None = None
    """10¹² operations per second that the device was supposed to sustain, if somebody did."""

    def as_json(self) -> dict:
        """Plain values, with each row's ratio."""
        rows = [{**asdict(row), "ratio": row.ratio} for row in self.rows]
        return {**asdict(self), "rows": rows}


def make_plan(
    study: Study,
    expansion: Expansion,
    profile: Profile,
    devices: int | None = None,
    device: str | None = None,
    tflops: float | None = None,
) -> Plan:
    """Plan what is left of a study, and compare what is done with its forecast. Writes nothing of the study.

    devices: GPUs at once; None: as many as the profile's jobs hold. device: name of the one to plan for, as records
    have it; None: the only one that knows of this study. tflops: 10¹² operations per second that it is supposed to
    sustain, for times that nothing else tells. Raises UserError for a device that nothing is known of, for several
    without a choice, and for a broken record, list or calibration.
    """
    work = workload(study, expansion)
    results = study.directory.parent
    observed, calibrations = observe(results), read_calibrations(results / "calibration")
    videos = {dataset: count_videos(study, dataset) for dataset in study.datasets}
    footprints = {
        name: footprint(config.build, config.options, study.clip(name), study.measured_classes)
        for name, config in study.models.items()
    }
    arithmetic = Arithmetic(footprints, study.measured_classes)
    supposed = None if tflops is None else Supposition(tflops, arithmetic)
    estimators = {
        name: Estimator(name, observed, calibrations.get(name), profile, videos, supposed)
        for name in sorted(observed.devices | set(calibrations))
    }
    device = _device(device, estimators, work)
    estimator = estimators.get(device, Estimator(None, observed, None, profile, videos, supposed))
    now = {key: estimator.estimate(job) for key, job in work.jobs.items() if key not in work.done}
    devices = devices or profile.jobs * max(profile.devices(job.rule) for job in work.jobs.values())
    made_at = datetime.now(UTC).isoformat(timespec="seconds")
    before, walls = _forecast_before(study.directory / "plan.json")
    kept = _kept(before, work, now, profile, device, made_at)
    about = _About(work, now, kept, walls, profile, devices, arithmetic)
    return Plan(
        study.name,
        made_at,
        device,
        devices,
        profile.name,
        [about.row(name, keys) for name, keys in work.experiments.items()] + [about.row(ALL, list(work.jobs))],
        kept,
        disk_need(study, work, profile, devices, footprints, videos),
        videos,
        queue_time(profile),
        any(profile.number(job.rule, "gpu", 0) for job in work.jobs.values()),
        _notes(work, observed, now, videos, tflops),
        tflops,
    )


def save_plan(plan: Plan, path: Path) -> None:
    write_json(path, plan.as_json())


def _device(asked: str | None, estimators: Mapping[str, Estimator], work: Workload) -> str | None:
    """The device asked for, else the only one that knows the time of a job of this study; None: there is none."""
    if asked is not None:
        if asked not in estimators:
            names = "; ".join(estimators) or "none: run `dynamonet calibrate` there"
            raise UserError(f"nothing is known of device {asked!r}: known are {names}")
        return asked
    jobs = [job for job in work.jobs.values() if job.stage in ("fit", "evaluate", "retrieve")]
    useful = [
        name for name, one in estimators.items() if any(one.estimate(job).source in (RUNS, CALIBRATION) for job in jobs)
    ]
    if len(useful) > 1:
        raise UserError(f"which device is planned for: give --device NAME; known are {'; '.join(useful)}")
    return next(iter(useful), None)


def _forecast_before(path: Path) -> tuple[dict[str, dict], dict[str, float | None]]:
    """Forecasts of jobs, and wall times of rows, that a plan has kept; none where there is no plan.

    What was supposed is no forecast.
    """
    if not path.is_file():
        return {}, {}
    plan, keys = Record.read(path).content, ("seconds", "devices", "device", "source")
    try:
        jobs = {key: {**job, **{name: job[name] for name in keys}} for key, job in plan["jobs"].items()}
        jobs = {key: job for key, job in jobs.items() if job["source"] != SUPPOSED}
        return jobs, {row["name"]: row["forecast_wall_s"] for row in plan["rows"]}
    except (KeyError, TypeError, AttributeError):
        raise UserError(f"{path} is a plan of another version: remove it, and what was forecast with it") from None


def _kept(
    before: Mapping[str, dict],
    work: Workload,
    now: Mapping[str, Estimate],
    profile: Profile,
    device: str | None,
    made_at: str,
) -> dict[str, dict[str, Any]]:
    """The forecast of every job: the first one that was known for this device and number of devices, else today's.

    One that is done without ever having been forecast has none.
    """
    kept = {}
    for key, job in work.jobs.items():
        old, held = before.get(key), profile.devices(job.rule)
        if key in work.done:
            if old is not None:
                kept[key] = old
        elif old and old["seconds"] is not None and (old["device"], old["devices"]) == (device, held):
            kept[key] = old
        else:
            kept[key] = {**asdict(now[key]), "devices": held, "device": device, "made_at": made_at}
    return kept


@dataclass(frozen=True)
class _About:
    """What rows are made of."""

    work: Workload
    now: Mapping[str, Estimate]
    kept: Mapping[str, dict]
    walls: Mapping[str, float | None]
    """Wall times that were forecast before, by row."""
    profile: Profile
    devices: int
    arithmetic: Arithmetic

    def row(self, name: str, keys: list[str]) -> Row:
        jobs = [self.work.jobs[key] for key in keys]
        left = [job for job in self.work.left(keys) if job.stage in ON_DEVICE]
        known = [job for job in left if self.now[job.key].seconds is not None]
        tasks = {job.key: Task(self.now[job.key].seconds or 0.0, self._held(job), job.needs) for job in left}
        compared = [key for key in keys if key in self.work.done and (self.kept.get(key) or {}).get("seconds")]
        wall = wall_s(tasks, self.devices, self.profile.jobs) if len(known) == len(left) else None
        sources = Counter(self.now[job.key].source for job in left)
        forecast_wall = None if SUPPOSED in sources else wall
        done = [job for job in jobs if job.stage in ON_DEVICE and job.key in self.work.done]
        return Row(
            name=name,
            jobs={
                stage: (sum(job.key in self.work.done for job in some), len(some))
                for stage in STAGES
                if (some := [job for job in jobs if job.stage == stage])
            },
            device_s_left=sum(self.now[job.key].seconds * self.profile.devices(job.rule) for job in known),
            unknown=len(left) - len(known),
            wall_s_left=wall,
            chain_s_left=longest_chain_s(tasks),
            exaflop_left=sum(self.arithmetic.training_flop(job) for job in left) / 1e18,
            sources=dict(sources),
            compared=len(compared),
            forecast_s=sum(self.kept[key]["seconds"] * self.kept[key]["devices"] for key in compared),
            took_s=sum(self._took_s(key) for key in compared),
            forecast_wall_s=self.walls.get(name) if done or self.walls.get(name) else forecast_wall,
            took_wall_s=None if left or not done else self._span_s(done),
        )

    def _held(self, job: Job) -> int:
        """Devices that a job keeps others from: all of them, where it takes every core of this machine."""
        return self.devices if self.profile.path is None and job.stage == "measure" else self.profile.devices(job.rule)

    def _span_s(self, jobs: list[Job]) -> float:
        """By the records: each is written when its job ends."""
        ends = {job.key: job.record.stat().st_mtime for job in jobs}
        return max(ends.values()) - min(end - self.work.done[key].number("time.wall_s") for key, end in ends.items())

    def _took_s(self, key: str) -> float:
        record = self.work.done[key]
        return record.number("time.wall_s") * (record.find("provenance.world_size") or 1)


def _notes(
    work: Workload,
    observed: Observed,
    now: Mapping[str, Estimate],
    videos: Mapping[str, Videos | None],
    tflops: float | None,
) -> list[str]:
    """What there is to say beside the numbers: why some are not known, and what is left out."""
    reasons = Counter(
        f"{work.jobs[key].stage}: {one.note}"
        for key, one in now.items()
        if one.source == UNKNOWN and work.jobs[key].stage in ON_DEVICE
    )
    notes = [f"unknown time of {count} jobs, {reason}" for reason, count in reasons.items()]
    if supposed := sum(one.source == SUPPOSED for one in now.values()):
        notes.append(
            f"{supposed} times are supposed and not measured: the arithmetic alone, at {tflops:g} TFLOP/s; "
            "`dynamonet calibrate` measures what a device sustains"
        )
    if preparing := [key for key in now if work.jobs[key].stage == "prepare"]:
        notes.append(f"{len(preparing)} jobs that prepare data sets, on CPUs, are in no time given here")
    for dataset, counted in videos.items():
        if counted is None:
            notes.append(f"data set {dataset} is not there, and has no official counts: its videos are not counted")
        elif counted.source != "manifest":
            notes.append(f"videos of {dataset} as of its {counted.source}, usable or not: it is not prepared yet")
    if observed.unread:
        notes.append(
            f"{len(observed.unread)} finished runs of another version tell no time, such as {observed.unread[0]}"
        )
    return notes
