"""Progress of a stage: a bar with ETA in a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

PLAIN_LINE_EVERY_S = 10.0


@contextmanager
def progress(title: str) -> Iterator[Callable[..., None]]:
    """Yield `report(done, total, note="")`, to be called as often as convenient."""
    console = Console(stderr=True)
    if console.is_terminal:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=console) as bar:
            task = bar.add_task(title, note="")
            yield lambda done, total, note="": bar.update(task, completed=done, total=total, note=note)
    else:
        yield _plain_lines(title)


def _plain_lines(title: str) -> Callable[..., None]:
    began = said = time.monotonic()

    def report(done: int, total: int, note: str = "") -> None:
        nonlocal said
        now = time.monotonic()
        if now - said >= PLAIN_LINE_EVERY_S or done == total:
            said = now
            remaining_s = (now - began) / max(done, 1) * (total - done)
            print(f"{title}: {done}/{total}, {remaining_s:.0f} s left {note}".rstrip(), file=sys.stderr, flush=True)

    return report
