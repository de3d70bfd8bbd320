"""How far a study is: what is done, running, waiting, failed, stale or missing, and why. Reads, writes nothing."""

import json
import re
import time
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dynamonet.errors import UserError
from dynamonet.report.collect import read_study
from dynamonet.spec import FITTED
from snakemake_executor_plugin_submitit.registry import Registry
from snakemake_executor_plugin_submitit.scheduler import Local, Slurm, State, Unavailable

STATES = ("done", "running", "queued", "failed", "stale", "missing")
FRESH_S = 300.0
"""A stage whose files are younger is taken to be running; where no step is logged, its log gets a line every 10 s."""
TAIL_BYTES = 8192
ERROR = re.compile(r"(error|[\w.]*(Error|Exception)|slurmstepd: error|srun: error)\b.*")
COLOURS = dict(zip(STATES, ("green", "cyan", "blue", "red", "yellow", "dim"), strict=True))


@dataclass(frozen=True)
class RunStatus:
    """One run: its state, of STATES, and what there is to say; steps and loss of a fit that has begun."""

    run: str
    state: str
    note: str = ""
    step: int | None = None
    steps: int | None = None
    loss: float | None = None
    slurm: str | None = None


@dataclass(frozen=True)
class StudyStatus:
    """Runs by experiment; one that several experiments share is in each. problem: why SLURM's states are unknown."""

    name: str
    experiments: dict[str, list[RunStatus]]
    problem: str | None = None

    @property
    def totals(self) -> Counter:
        """How many runs are in each state, each counted once."""
        return Counter({one.run: one.state for runs in self.experiments.values() for one in runs}.values())

    def as_json(self) -> dict:
        """Plain values: name, experiments with their runs, totals, problem."""
        return {**asdict(self), "totals": {state: self.totals[state] for state in STATES}}


@dataclass(frozen=True)
class Job:
    """A job that the executor has submitted and not seen the end of."""

    id: str
    state: State | None

    def __str__(self) -> str:
        return f"job {self.id}" + (f" {self.state.name}" if self.state else "")


def find_study(root: Path = Path("results")) -> Path:
    """The study.json of the only study there. Raises UserError if there is none, or more than one."""
    found = sorted(root.glob("*/study.json"))
    if len(found) != 1:
        there = ", ".join(map(str, found)) or f"none under {root}"
        raise UserError(f"which study is meant: give --spec results/<study>/study.json (there is {there})")
    return found[0]


def study_status(study_dir: Path) -> StudyStatus:
    """The state of every run that the study plans.

    SLURM is asked once, for the jobs that the executor's registry has open. Raises UserError for a study that is not
    there and for a broken record.
    """
    study_dir = Path(study_dir).absolute()
    study = read_study(study_dir)
    jobs, problem = submitted_jobs(study_dir.parents[1] / ".snakemake" / "submitit")
    states: dict[str, RunStatus] = {}
    experiments = defaultdict(list)
    columns = ("experiment", "run", "task", "state", "stale", "settings_changed")
    for experiment, run, task, progress, stale, changed in study.runs[list(columns)].itertuples(index=False):
        if run not in states:
            if stale:
                states[run] = RunStatus(run, "stale", stale)
            elif progress == "evaluated":
                states[run] = RunStatus(run, "done")
            else:
                states[run] = _unfinished(study_dir, run, task, progress == "fitted", changed, jobs)
        experiments[experiment].append(states[run])
    return StudyStatus(study.plan.get("name"), dict(experiments), problem)


def submitted_jobs(root: Path) -> tuple[dict[str, Job], str | None]:
    """The executor's open jobs by `<rule> <run>`, and why their states are not known, where that is so."""
    jobs, problem = {}, None
    if not (root / "open").is_dir():
        return jobs, problem
    by_cluster = defaultdict(dict)
    for submission in Registry(root, holder="").submissions():
        for entry in submission.entries().values():
            if submission.job_id is not None:
                by_cluster[submission.cluster][entry.name] = entry.job_id
    for cluster, ids in by_cluster.items():
        try:
            states = (Slurm() if cluster == "slurm" else Local()).states(set(ids.values()))
        except Unavailable as error:
            states, problem = {}, str(error)
        jobs |= {name: Job(job_id, states.get(job_id)) for name, job_id in ids.items()}
    return jobs, problem


def _unfinished(study_dir: Path, run: str, task: str, fitted: bool, changed: str, jobs: dict[str, Job]) -> RunStatus:
    """Of a run whose last record is missing; its next stage is what it is at, if it is at anything."""
    folder = study_dir / "runs" / run
    if fitted:
        stage = rule = "retrieve" if task == "retrieve" else "evaluate"
        last, files = {}, []
    else:
        stage, rule = "fit", task if task in FITTED else "adopt"
        last, files = _last_step(folder / "log.jsonl"), [folder / "log.jsonl", folder / "checkpoints" / "latest.json"]
    job = jobs.get(f"{rule} {run}")
    log = study_dir / "logs" / f"{run}.{stage}.log"
    state, note = _judged(log, max(map(_modified, files), default=0.0), job.state if job else None)
    if last and state in ("running", "missing"):
        loss = "" if last["loss"] is None else f", loss {last['loss']:g}"
        note = f"{'stopped at ' if state == 'missing' else ''}step {last['step']} of {last['steps']}{loss}"
    elif state == "missing":
        note = "fitted, not scored" if fitted else changed
    return RunStatus(
        run, state, f"{rule}: {note}" if note and note != changed else note, **last, slurm=job and str(job)
    )


def _judged(log: Path, active_at: float, state: State | None) -> tuple[str, str]:
    """State and note of a stage, by what its log says, when its other files were written, and what SLURM says."""
    if state is not None and state.alive:
        return ("queued", state.reason) if state.name == "PENDING" else ("running", "")
    lines, logged_at = _tail(log), _modified(log)
    error = next((line for line in reversed(lines) if ERROR.fullmatch(line)), None)
    if error and logged_at >= active_at:
        return "failed", f"{error} ({log})"
    if state is not None and state.name != "COMPLETED":
        return "failed", f"ended as {state.name} ({log})"
    if max(active_at, logged_at) > time.time() - FRESH_S:
        return "running", lines[-1] if lines else ""
    return "missing", ""


def _last_step(log: Path) -> dict:
    """step, steps and loss of the last whole line of log.jsonl; nothing where there is none."""
    for line in reversed(_tail(log)):
        try:
            values = json.loads(line)
        except ValueError:  # being written, or cut off by a kill
            continue
        return {key: values[key] for key in ("step", "steps", "loss")}
    return {}


def _tail(path: Path) -> list[str]:
    """The last lines of a file that say something; none where it is absent."""
    if not path.is_file():
        return []
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]


def _modified(path: Path) -> float:
    return path.stat().st_mtime if path.is_file() else 0.0


def show(status: StudyStatus, console: Console) -> None:
    """Print the counts of each experiment, and what there is to say of runs; runs of which it is the same, once."""
    table = Table(title=f"{status.name}: {status.totals['done']} of {sum(status.totals.values())} runs done")
    table.add_column("experiment")
    for state in STATES:
        table.add_column(state, justify="right", style=COLOURS[state])
    counts = {name: Counter(one.state for one in runs) for name, runs in status.experiments.items()}
    for name, count in counts.items():
        table.add_row(name, *(str(count[state] or "") for state in STATES))
    table.add_section()
    table.add_row("each run once", *(str(status.totals[state]) for state in STATES))
    console.print(table)
    notes = defaultdict(dict)
    for one in (one for runs in status.experiments.values() for one in runs):
        if one.note:
            notes[STATES.index(one.state), one.note + (f" [{one.slurm}]" if one.slurm else "")][one.run] = None
    for (state, note), runs in sorted(notes.items(), key=lambda item: item[0][0]):
        first, *others = runs
        which = first + (f" and {len(others)} more" if others else "")
        console.print(Text.assemble((f"{STATES[state]:<8}", COLOURS[STATES[state]]), f"{which}: {note}"))
    if status.problem:
        console.print(Text(f"The states of SLURM's jobs are not known: {status.problem}", "yellow"))
