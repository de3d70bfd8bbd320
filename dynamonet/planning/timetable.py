"""When jobs end that wait for each other and for a number of devices. Free of torch."""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dynamonet.errors import UserError


@dataclass(frozen=True)
class Task:
    """A job as the timetable sees it: how long it holds how many devices, and what it waits for."""

    seconds: float
    devices: int = 1
    needs: tuple[str, ...] = ()


def longest_chain_s(tasks: Mapping[str, Task]) -> float:
    """Seconds of the longest chain of tasks that wait for each other: what no number of devices makes shorter.

    What is needed and not among `tasks`, which has its needs first, is taken to be done.
    """
    ends: dict[str, float] = {}
    for name, task in tasks.items():
        ends[name] = task.seconds + max((ends[need] for need in task.needs if need in ends), default=0.0)
    return max(ends.values(), default=0.0)


def wall_s(tasks: Mapping[str, Task], devices: int, jobs: int) -> float:
    """Seconds until all is done on `devices` devices, with at most `jobs` jobs at once and no wait in a queue.

    Of the tasks that can start, the one with the longest chain behind it starts first, as long as it fits; Snakemake
    and SLURM may choose otherwise. A task with 0 devices needs none. Raises UserError for one that asks for more
    devices than there are.
    """
    for name, task in tasks.items():
        if task.devices > devices:
            raise UserError(f"{name} asks for {task.devices} devices: plan with --gpus {task.devices} or more")
    urgency = _tails(tasks)
    waiting = {name: sum(need in tasks for need in task.needs) for name, task in tasks.items()}
    after: dict[str, list[str]] = {name: [] for name in tasks}
    for name, task in tasks.items():
        for need in task.needs:
            if need in tasks:
                after[need].append(name)
    order = {name: number for number, name in enumerate(tasks)}
    ready = [(-urgency[name], order[name], name) for name, count in waiting.items() if count == 0]
    heapq.heapify(ready)
    running: list[tuple[float, int, str]] = []
    now, free = 0.0, devices
    while ready or running:
        put_off = []
        while ready and len(running) < jobs:
            entry = heapq.heappop(ready)
            task = tasks[entry[2]]
            if task.devices > free:
                put_off.append(entry)
                continue
            free -= task.devices
            heapq.heappush(running, (now + task.seconds, entry[1], entry[2]))
        for entry in put_off:
            heapq.heappush(ready, entry)
        now, _, name = heapq.heappop(running)
        free += tasks[name].devices
        for following in after[name]:
            waiting[following] -= 1
            if waiting[following] == 0:
                heapq.heappush(ready, (-urgency[following], order[following], following))
    return now


def _tails(tasks: Mapping[str, Task]) -> dict[str, float]:
    """Seconds from the start of each task to the end of the longest chain behind it."""
    tails: dict[str, float] = {}
    names: Sequence[str] = list(tasks)
    for name in names:
        tails[name] = tasks[name].seconds
    for name in reversed(names):
        for need in tasks[name].needs:
            if need in tails:
                tails[need] = max(tails[need], tasks[need].seconds + tails[name])
    return tails
