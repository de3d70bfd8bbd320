"""Requests that the cluster can never meet, found before anything is submitted. SLURM itself lets many of them wait
for ever. Free of Snakemake.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from snakemake_executor_plugin_submitit.request import Request
from snakemake_executor_plugin_submitit.scheduler import ask


@dataclass(frozen=True)
class Node:
    cpus: int
    mem_mb: int
    gpus: int
    partitions: frozenset[str]


@dataclass(frozen=True)
class Partition:
    name: str
    is_default: bool
    max_minutes: int | None
    """None for no limit."""
    max_nodes: int | None
    is_up: bool
    total_nodes: int = 0


@dataclass(frozen=True)
class Cluster:
    """What scontrol tells of partitions and nodes."""

    partitions: dict[str, Partition]
    nodes: list[Node]

    @classmethod
    def read(cls) -> "Cluster":
        """Ask SLURM. Raises scheduler.Unavailable."""
        partitions = map(_partition, _records(ask("scontrol", "--all", "--oneliner", "show", "partition")))
        nodes = map(_node, _records(ask("scontrol", "--all", "--oneliner", "show", "node")))
        return cls({partition.name: partition for partition in partitions}, list(nodes))

    def problems(self, request: Request) -> list[str]:
        """Why a request can never be met: a sentence each, none if it can, as far as scontrol tells."""
        if any(name in ("gres", "gpus", "partition", "p", "time", "t", "mem") for name, _ in request.extra):
            return []  # what the user asks of sbatch by hand is sbatch's to judge
        names = request.partition.split(",") if request.partition else [p.name for p in self._default()]
        unknown = [name for name in names if name not in self.partitions]
        if unknown:
            return [f"there is no partition {unknown[0]!r}: known are {', '.join(sorted(self.partitions))}"]
        # Of several partitions one is enough.
        found = [self._problems_in(self.partitions[name], request) for name in names]
        return [] if not found or any(not problems for problems in found) else found[0]

    def _default(self) -> list[Partition]:
        return [partition for partition in self.partitions.values() if partition.is_default]

    def _problems_in(self, partition: Partition, request: Request) -> list[str]:
        where = f"partition {partition.name!r}"
        problems = []
        if not partition.is_up:
            problems.append(f"{where} is down")
        if partition.max_minutes is not None and request.runtime_min > partition.max_minutes:
            problems.append(f"runtime={request.runtime_min} min is over the {partition.max_minutes} min of {where}")
        if partition.max_nodes is not None and request.nodes > partition.max_nodes:
            problems.append(f"nodes={request.nodes} is over the {partition.max_nodes} of {where}")
        return problems or self._problems_of_nodes(partition, request)

    def _problems_of_nodes(self, partition: Partition, request: Request) -> list[str]:
        where = f"partition {partition.name!r}"
        nodes = [node for node in self.nodes if partition.name in node.partitions]
        if len(nodes) < partition.total_nodes or not nodes:
            return []  # nodes of a cloud that are powered down are not shown
        wanted = {
            "GPUs": (request.gpus_per_node, "gpus"),
            "CPUs": (request.cpus_per_task * request.tasks_per_node, "cpus"),
            "MB of memory": (request.mem_mb or 0, "mem_mb"),
        }
        for unit, (amount, field) in wanted.items():
            most = max((getattr(node, field) for node in nodes), default=0)
            if amount > most:
                return [f"{amount} {unit} on a node are asked for, and no node of {where} has more than {most}"]
        enough = sum(all(getattr(node, field) >= amount for amount, field in wanted.values()) for node in nodes)
        if enough < request.nodes:
            return [f"{request.nodes} nodes are asked for, and {enough} of {where} have what each must have"]
        return []


def refusals(cluster: Cluster, requests: Iterable[tuple[str, Request]]) -> list[str]:
    """One sentence per rule and problem."""
    # Most jobs of a rule ask for the same: each request is held against the nodes once.
    distinct = dict.fromkeys(requests)
    found = {f"rule {rule}: {problem}": None for rule, request in distinct for problem in cluster.problems(request)}
    return list(found)


def _records(text: str) -> list[dict[str, str]]:
    """scontrol's `Key=value` lines."""
    return [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in text.splitlines() if "=" in line]


def _partition(record: dict[str, str]) -> Partition:
    return Partition(
        name=record["PartitionName"],
        is_default=record.get("Default") == "YES",
        max_minutes=minutes(record.get("MaxTime", "UNLIMITED")),
        max_nodes=None if record.get("MaxNodes", "UNLIMITED") == "UNLIMITED" else int(record["MaxNodes"]),
        is_up=record.get("State", "UP") == "UP",
        total_nodes=int(record.get("TotalNodes", 0)),
    )


def _node(record: dict[str, str]) -> Node:
    # gpu:2, gpu:a100:4(S:0-1), gpu:a100:2,gpu:v100:2
    gpus = re.findall(r"(?:^|,)gpu:(?:[^:,(]+:)?(\d+)", record.get("Gres", ""))
    return Node(
        cpus=int(record.get("CPUTot", 0)),
        mem_mb=int(record.get("RealMemory", 0)),
        gpus=sum(map(int, gpus)),
        partitions=frozenset(record.get("Partitions", "").split(",")),
    )


def minutes(text: str) -> int | None:
    """SLURM's time limits, days-hours:minutes:seconds, in whole minutes; None for none."""
    if text in ("UNLIMITED", "INFINITE", "NONE", ""):
        return None
    days, _, rest = text.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if days:
        hours, minute, second = (*parts, 0, 0)[:3]
    elif len(parts) == 3:
        hours, minute, second = parts
    else:
        hours, (minute, second) = 0, (*parts, 0)[:2]
    return (int(days or 0) * 24 + hours) * 60 + minute + (second > 0)
