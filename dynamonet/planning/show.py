"""A plan as people read it. Free of torch."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from dynamonet.planning.calibration_file import KINDS, Calibration
from dynamonet.planning.forecast import Plan, Row
from dynamonet.planning.workload import ON_DEVICE

NONE = "-"
WORDS = ("experiment", "what", "of", "times from")
"""Columns that hold words, and not numbers."""
UNITS = {"steps": "clips/s", "passes": "views/s", "reading": "/s a process"}


def show_plan(plan: Plan, console: Console) -> None:
    """Print what is left, what disk it takes, and of what is done the forecast beside what it took."""
    hours = "GPU-hours" if plan.on_gpu else "Process-hours"
    speed = "" if plan.tflops is None else f", supposed to sustain {plan.tflops:g} TFLOP/s"
    console.print(
        f"{plan.study}: planned for {plan.device or 'a device that nothing is known of'}{speed}, {plan.devices} at "
        f"once (profile {plan.profile})"
    )
    stages = list(plan.rows[-1].jobs)
    title = f"Jobs done of all, and what is left: {hours}, wall time, training arithmetic in EFLOP, disk"
    table = _table(title, "experiment", *stages, "hours", "wall", "chain", "EFLOP", "disk", "times from")
    for row in plan.rows:
        if row is plan.rows[-1]:
            table.add_section()
        table.add_row(
            row.name,
            *("{}/{}".format(*row.jobs[stage]) if stage in row.jobs else NONE for stage in stages),
            device_hours(row),
            duration(row.wall_s_left) if row.wall_s_left is not None else "unknown",
            ("≥ " if row.unknown else "") + duration(row.chain_s_left),
            f"{row.exaflop_left:.3g}",
            size(plan.disk.of(row.name)),
            ", ".join(f"{source} {count}" for source, count in row.sources.items()) or NONE,
        )
    console.print(table)
    if any(row.compared for row in plan.rows):
        console.print(_compared(plan, hours))
    console.print(f"queue: {plan.queue}")
    disk = plan.disk
    console.print(
        f"disk: {size(disk.weights_and_scores)} of weights and scores, up to {size(disk.checkpoints)} of checkpoints "
        f"meanwhile, manifests {size(disk.manifests)}, prepared copies {size(disk.copies)}; {size(disk.free)} are free"
    )
    for note in plan.notes:
        console.print(f"note: {note}")


def _compared(plan: Plan, hours: str) -> Table:
    title = f"Forecast beside what it took, in {hours}, and wall time of what is wholly done"
    table = _table(title, "experiment", "jobs", "forecast", "took", "took / forecast", "wall forecast", "wall taken")
    for row in plan.rows:
        if row is plan.rows[-1]:
            table.add_section()
        ratio = NONE if row.ratio is None else f"{row.ratio:.2f}"
        walls = ((duration(wall) if wall is not None else NONE) for wall in (row.forecast_wall_s, row.took_wall_s))
        table.add_row(row.name, str(row.compared), _hours(row.forecast_s), _hours(row.took_s), ratio, *walls)
    return table


def _table(title: str, *names: str) -> Table:
    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0))
    for name in names:
        table.add_column(name, justify="left" if name in WORDS else "right", overflow="fold")
    return table


def device_hours(row: Row) -> str:
    """Of a row's jobs that are left, as the table has them."""
    known = row.device_s_left > 0 or not any(row.jobs.get(stage) for stage in ON_DEVICE) or not row.unknown
    if not known:
        return "unknown"
    return _hours(row.device_s_left) + (f" + {row.unknown} unknown" if row.unknown else "")


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f}" if seconds >= 36000 else f"{seconds / 3600:.3g}"


def duration(seconds: float) -> str:
    """In the unit that suits it."""
    for unit, length_s in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.1f} {unit}"
    return f"{seconds:.0f} s"


def size(count: int | None) -> str:
    if not count:
        return "unknown" if count is None else "none"
    for unit, length in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if count >= length:
            return f"{count / length:.1f} {unit}"
    return f"{count / 1000:.1f} kB"


def show_calibration(calibration: Calibration, console: Console) -> None:
    """Print what was measured, a line for each setting."""
    table = _table(f"{calibration.device} → {calibration.path}", "what", "of", "rate", "start")
    problems = []
    for kind, rate in KINDS.items():
        for entry in calibration.entries[kind].values():
            what = _described(entry["settings"])
            if "problem" in entry:
                problems.append(f"{kind} of {what}: {entry['problem']}")
            else:
                start = duration(entry["start_s"]) if "start_s" in entry else NONE
                table.add_row(kind, what, f"{entry[rate]:.4g} {UNITS[kind]}", start)
    console.print(table)
    for problem in problems:
        console.print(f"problem: {problem}")


def _described(settings: dict) -> str:
    if "reads" in settings:
        return f"{settings['dataset']}, {settings['reads']} of {settings['clip']['frames']} frames"
    said = f"{settings['build']} {settings['frames']}×{settings['crop']}²"
    if "task" in settings:
        return f"{said}, {settings['task']}, {settings['clips_per_process']} clips, {settings['precision']}"
    return f"{said}, {settings['views']} views, {settings['precision']}"
