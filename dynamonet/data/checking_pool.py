"""Processes that look at files, of which a file that hangs or crashes the decoder costs no more than itself."""

import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, TimeoutError, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from pebble import ProcessExpired, ProcessPool

from dynamonet.data import checking
from dynamonet.data.checking import Examined, Task
from dynamonet.engine import interrupt
from dynamonet.errors import UserError

PATIENCE_S = 120.0
"""What any file may take, and beside it a second for each SLOWEST_BYTES_PER_S: a hundred times as long as it does."""
SLOWEST_BYTES_PER_S = 50_000

QUEUED_PER_WORKER = 4

_SPAWN = get_context("spawn")
"""Forking a process that runs threads can deadlock."""


def examine_all(tasks: Sequence[Task], workers: int) -> Iterator[tuple[int, Examined]]:
    """Yield (position in `tasks`, outcome) as files are done. Raises UserError where no process can be started."""
    if not tasks:
        return
    pool = ProcessPool(min(workers, len(tasks)), initializer=interrupt.heed_parent, initargs=(0,), context=_SPAWN)
    positions = iter(range(len(tasks)))
    queued: dict[Future, int] = {}

    def fill() -> None:
        for position in positions:
            task = tasks[position]
            queued[pool.schedule(checking.examine, [task], timeout=_patience_s(task))] = position
            if len(queued) >= QUEUED_PER_WORKER * workers:
                return

    try:
        with interrupt.hidden_from_children():
            fill()
        while queued:
            for future in wait(queued, return_when=FIRST_COMPLETED).done:
                position = queued.pop(future)
                yield position, _outcome(future, tasks[position])
            fill()
    finally:
        pool.stop()
        pool.join()


def _patience_s(task: Task) -> float:
    return PATIENCE_S + task.seen.bytes / SLOWEST_BYTES_PER_S


def _outcome(future: Future, task: Task) -> Examined:
    try:
        return future.result()
    except TimeoutError:
        return Examined(task.facts, failure=f"kept the decoder busy for more than {_patience_s(task):.0f} s")
    except ProcessExpired as error:
        return Examined(task.facts, failure=f"crashed the decoder ({_cause(error.exitcode)})")
    except BrokenProcessPool:
        raise UserError(
            f"No process could be started, or kept, to check {task.path}; free memory or take fewer workers, and"
            " start again: what is checked stays known."
        ) from None


def _cause(exit_code: int) -> str:
    return signal.Signals(-exit_code).name if exit_code < 0 else f"status {exit_code}"
