"""What a job asks of the cluster: Snakemake resources in, sbatch options out. Free of Snakemake."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NAMED = {
    "slurm_partition": "partition",
    "slurm_account": "account",
    "slurm_qos": "qos",
    "slurm_constraint": "constraint",
}
KNOWN = (*NAMED, "slurm_extra")


class RequestError(ValueError):
    """A resource that cannot be asked for: one sentence that names it."""


@dataclass(frozen=True)
class Request:
    """Jobs of one rule with equal requests can share a job array."""

    runtime_min: int
    mem_mb: int | None
    """Per node."""
    cpus_per_task: int
    nodes: int = 1
    tasks_per_node: int = 1
    gpus_per_node: int = 0
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    extra: tuple[tuple[str, str | bool], ...] = ()
    """Further sbatch options, without their dashes."""


def request_of(resources: Mapping[str, Any], threads: int) -> Request:
    """Translate a job's resources.

    nodes, tasks and gpu count the whole job and are spread evenly over its nodes; cpus_per_task is `threads` where
    it is not given. Raises RequestError for a missing run time, a number that is none, an unknown `slurm_` resource
    and tasks or GPUs that cannot be spread evenly.
    """
    unknown = [name for name in resources if name.startswith("slurm_") and name not in KNOWN]
    if unknown:
        raise RequestError(f"there is no resource {unknown[0]!r}: known are {', '.join(KNOWN)}")
    if resources.get("runtime") is None:
        raise RequestError("the resource runtime (minutes) is missing: set it in the rule or in default-resources")

    def number(name: str, default: int | None, least: int = 1) -> int | None:
        value = resources.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise RequestError(f"the resource {name} must be a whole number of at least {least}, not {value!r}")
        return value

    nodes = number("nodes", 1)
    tasks = number("tasks", nodes)
    gpus = number("gpu", 0, least=0)
    for name, count in (("tasks", tasks), ("gpu", gpus)):
        if count % nodes:
            raise RequestError(f"{name}={count} cannot be spread evenly over nodes={nodes}")
    named = {option: str(value) for name, option in NAMED.items() if (value := resources.get(name)) not in (None, "")}
    return Request(
        runtime_min=number("runtime", None),
        mem_mb=number("mem_mb", None),
        cpus_per_task=number("cpus_per_task", max(1, threads)),
        nodes=nodes,
        tasks_per_node=tasks // nodes,
        gpus_per_node=gpus // nodes,
        extra=_extra(str(resources.get("slurm_extra") or "")),
        **named,
    )


def _extra(text: str) -> tuple[tuple[str, str | bool], ...]:
    options = []
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise RequestError(f"slurm_extra: {error} in {text!r}") from None
    for word in words:
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not name:
            raise RequestError(f"slurm_extra: {word!r} is not of the form --option or --option=value")
        options.append((name, value if equals else True))
    return tuple(options)


def slurm_parameters(request: Request, name: str, comment: str, grace_s: int) -> dict[str, Any]:
    """Parameters of submitit's SlurmExecutor: what the job's sbatch file will say."""
    optional = {key: getattr(request, key) for key in ("partition", "account", "qos", "constraint")}
    return {
        "job_name": name,
        "comment": comment,
        "time": request.runtime_min,
        "nodes": request.nodes,
        "ntasks_per_node": request.tasks_per_node,
        "cpus_per_task": request.cpus_per_task,
        "gpus_per_node": request.gpus_per_node or None,
        "mem": None if request.mem_mb is None else f"{request.mem_mb}MB",
        **{key: value for key, value in optional.items() if value is not None},
        "signal_delay_s": grace_s,
        "stderr_to_stdout": True,
        # One process runs the rule, whatever the number of tasks: `launch` starts the others from there. srun does
        # not take the CPUs per task from sbatch by itself.
        "srun_args": ["--nodes=1", "--ntasks=1", f"--cpus-per-task={request.cpus_per_task}"],
        # A work-load key that the accounting does not know would be refused.
        "wckey": None,
        "additional_parameters": _by_hand(request.extra),
    }


def _by_hand(extra: tuple[tuple[str, str | bool], ...]) -> dict[str, str | bool]:
    """Options of slurm_extra in submitit's spelling, so that each takes the place of its own instead of joining it."""
    options = {name if name == "open-mode" else name.replace("-", "_"): value for name, value in extra}
    return options if "no_requeue" in options else {"requeue": True, **options}


def local_parameters(request: Request, grace_s: int) -> dict[str, Any]:
    """Parameters of submitit's local and debug executors, which know neither queues nor memory."""
    return {
        "timeout_min": request.runtime_min,
        "gpus_per_node": request.gpus_per_node,
        "tasks_per_node": 1,
        "nodes": 1,
        "signal_delay_s": grace_s,
        "stderr_to_stdout": True,
    }
