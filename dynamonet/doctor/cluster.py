"""SLURM: its programs, and what the profile's jobs ask of it. Free of torch and of Snakemake."""

import getpass
import re
import shutil
from collections.abc import Iterator

from dynamonet.doctor.finding import OK, PROBLEM, WARNING, Finding, NoAnswer, answer
from dynamonet.planning.profile import Profile
from dynamonet.planning.queue import last_line
from snakemake_executor_plugin_submitit.limits import Cluster, refusals
from snakemake_executor_plugin_submitit.request import Request, RequestError, request_of
from snakemake_executor_plugin_submitit.scheduler import Unavailable

SUBJECT = "slurm"
PROGRAMS = ("sbatch", "srun", "squeue", "sacct", "scontrol", "scancel", "sinfo")
RULES = ("pretrain", "train", "adopt", "evaluate", "retrieve", "measure", "prepare", "check_videos")
"""Those whose jobs go to the cluster."""


def check_cluster(profile: Profile | None, threads: int = 1) -> Iterator[Finding]:
    """profile: None where no study is given. threads: of the study, for rules that name no CPUs."""
    wanted = profile is not None and profile.is_slurm
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    if not wanted:
        says = "no SLURM here" if "sbatch" in absent else "SLURM is here"
        yield Finding(SUBJECT, OK, f"{says}, and {'this study runs without it' if profile else 'no study asks for it'}")
        return
    if absent:
        mend = "log in to the cluster; or run here, with `snakemake all --configfile config/<study>.yaml`"
        yield Finding(SUBJECT, PROBLEM, f"profile {profile.name} asks for SLURM, without {', '.join(absent)}", mend)
        return
    yield from _requests(profile, threads)
    yield from _account(profile)
    yield from _configuration()


def _requests(profile: Profile, threads: int) -> Iterator[Finding]:
    """Each rule's request, held against partitions and nodes."""
    requests: list[tuple[str, Request]] = []
    for rule in RULES:
        resources = profile.resources(rule)
        try:
            request = request_of(resources, threads)
        except RequestError as error:
            yield Finding(SUBJECT, PROBLEM, f"rule {rule}: {error}", f"edit {profile.path}")
            continue
        requests.append((rule, request))
        if "no_requeue" in [name.replace("-", "_") for name, _ in request.extra]:
            says = f"rule {rule}: --no-requeue ends what reaches its time limit, instead of letting it go on"
            yield Finding(SUBJECT, WARNING, says, f"take it out of slurm_extra in {profile.path}")
        gpus, tasks = request.gpus_per_node * request.nodes, request.tasks_per_node * request.nodes
        if gpus > 1 and tasks != gpus:
            says = f"rule {rule}: {gpus} GPUs and {tasks} processes, each of which uses one GPU"
            yield Finding(SUBJECT, WARNING, says, f"set gpu and tasks to the same number in {profile.path}")
    try:
        cluster = Cluster.read()
    except Unavailable as error:
        yield Finding(
            SUBJECT, PROBLEM, f"SLURM does not answer ({last_line(str(error))})", "scontrol ping; then ask who runs it"
        )
        return
    refused = refusals(cluster, requests)
    for problem in refused:
        yield Finding(SUBJECT, PROBLEM, problem, f"edit {profile.path}; `sinfo` shows partitions and limits")
    if not refused and requests:
        partitions = ", ".join(sorted({request.partition or "the default" for _, request in requests}))
        yield Finding(SUBJECT, OK, f"partition ({partitions}), time limits, GPUs, CPUs and memory fit all rules' jobs")


def _account(profile: Profile) -> Iterator[Finding]:
    account = profile.resources("train").get("slurm_account")
    try:
        query = ["show", "associations", f"user={getpass.getuser()}", "format=Account"]
        known = answer(["sacctmgr", "--noheader", "--parsable2", *query]).split()
    except (NoAnswer, OSError, KeyError) as error:
        yield Finding(SUBJECT, OK, f"which accounts you have is not known ({error}), and not judged")
        return
    if account is None:
        yield Finding(SUBJECT, OK, f"jobs go to your default account (yours: {', '.join(dict.fromkeys(known)) or '-'})")
    elif known and account not in known:
        says = f"slurm_account {account} is none of yours: {', '.join(dict.fromkeys(known))}"
        yield Finding(SUBJECT, PROBLEM, says, f"edit {profile.path}")
    else:
        yield Finding(SUBJECT, OK, f"account {account}")


def _configuration() -> Iterator[Finding]:
    try:
        settings = dict(re.findall(r"^(\w+)\s*=\s*(.*?)\s*$", answer(["scontrol", "show", "config"]), re.MULTILINE))
    except NoAnswer as error:
        yield Finding(SUBJECT, WARNING, f"SLURM's configuration is not known ({error})", "scontrol show config")
        return
    by_default = "by default" if settings.get("JobRequeue") == "1" else "where a job asks for it, as ours do"
    yield Finding(SUBJECT, OK, f"SLURM {settings.get('SLURM_VERSION', '')} requeues jobs {by_default}")
    if settings.get("AccountingStorageType", "").endswith("none") or not settings.get("AccountingStorageType"):
        says = f"there is no accounting: an ended job is forgotten after {settings.get('MinJobAge', 'some time')}"
        yield Finding(SUBJECT, WARNING, says, "keep Snakemake running while jobs do, in tmux or screen")
