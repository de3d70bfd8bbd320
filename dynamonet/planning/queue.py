"""How long jobs have waited for the cluster, as SLURM tells it. Free of torch and of Snakemake."""

import shutil
from collections.abc import Callable
from datetime import datetime
from statistics import median

from dynamonet.planning.profile import Profile
from snakemake_executor_plugin_submitit.scheduler import Unavailable, ask

PAST_DAYS = 14
TIME = "%Y-%m-%dT%H:%M:%S"


def queue_time(profile: Profile) -> str:
    """What SLURM says of waiting in the partition that trains: idle nodes, this user's jobs, now and lately."""
    if not profile.is_slurm:
        return "none, as jobs run on this machine"
    if shutil.which("sinfo") is None:
        return "unknown, as there is no SLURM here"
    partition = profile.resources("train").get("slurm_partition")
    where = [f"--partition={partition}"] if partition else []
    said = (_said(question, where) for question in (_idle, _waiting, _past))
    return "; ".join(dict.fromkeys(one for one in said if one))


def _said(question: Callable[[list[str]], str], where: list[str]) -> str:
    try:
        return question(where)
    except Unavailable as error:
        return f"unknown ({last_line(str(error))})"


def last_line(complaint: str) -> str:
    """The line of a program's complaint that says what is wrong, without the names before it."""
    line = complaint.strip().splitlines()[-1]
    for name in ("scontrol", "sacctmgr", "sinfo", "squeue", "sacct", "error", "fatal"):
        line = line.removeprefix(f"{name}: ")
    return line


def _idle(where: list[str]) -> str:
    counts = [line.split("/") for line in ask("sinfo", "--noheader", "--format=%F", *where).split()]
    idle, every = (sum(int(count[place]) for count in counts) for place in (1, 3))
    return f"{idle} of {every} nodes are idle now"


def _waiting(where: list[str]) -> str:
    """When SLURM means to start this user's waiting jobs."""
    starts = ask("squeue", "--me", "--start", "--noheader", "--format=%S", *where).split()
    planned = [start for start in starts if start != "N/A"]
    if not starts:
        return ""
    last = f", the last of those it has planned at {max(planned)}" if planned else ""
    return f"{len(starts)} jobs of yours wait{last}"


def _past(where: list[str]) -> str:
    """Minutes from submission to start; a requeued job counts from its first submission to its last start."""
    answer = ask(
        "sacct", "--allocations", "--noheader", "--parsable2", f"--starttime=now-{PAST_DAYS}days",
        "--format=Submit,Start", *where,
    )  # fmt: skip
    waits_s = []
    for line in answer.splitlines():
        submitted, _, started = line.partition("|")
        if started not in ("", "Unknown", "None"):
            waits_s.append((datetime.strptime(started, TIME) - datetime.strptime(submitted, TIME)).total_seconds())
    if not waits_s:
        return f"no job of yours has started in the last {PAST_DAYS} days"
    return (
        f"{len(waits_s)} jobs of yours of the last {PAST_DAYS} days waited {median(waits_s) / 60:.0f} min (median), "
        f"{max(waits_s) / 60:.0f} min at most"
    )
