"""SIGTERM and SIGUSR2: the machine is wanted back, so a stage stops where the same command can go on.

Free of torch: the handlers stand before anything slow is imported.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGTERM, signal.SIGUSR2)
EXIT_STATUS = os.EX_TEMPFAIL
"""Not a failure: to be started again."""

_received: signal.Signals | None = None
_deferrals = 0


class Interrupted(BaseException):
    """A signal asked the stage to stop. Not an `Exception`, so that nobody takes it for an error of their own."""


def install() -> None:
    """Handle SIGNALS for the rest of this process, even where its launcher had them ignored or blocked."""
    for number in SIGNALS:
        signal.signal(number, _handle)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def ignore() -> None:
    """Nothing is left to be stopped: a signal must not change the exit status any more."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _handle(number: int, frame) -> None:
    global _received
    if _received is not None:
        return  # the stage is stopping already; once more would only disturb it
    _received = signal.Signals(number)
    if not _deferrals:
        for child in multiprocessing.active_children():
            child.terminate()  # or leaving a process pool would wait for all that is queued there
        raise Interrupted(f"stopped by {_received.name}; the same command starts it again")


def received() -> signal.Signals | None:
    """The signal that asked this process to stop."""
    return _received


@contextmanager
def deferred() -> Iterator[None]:
    """Within, a signal is noted and does nothing else: who defers asks `received` where stopping is possible."""
    global _deferrals
    _deferrals += 1
    try:
        yield
    finally:
        _deferrals -= 1


@contextmanager
def hidden_from_children() -> Iterator[None]:
    """Processes started within do not see SIGNALS, which a cluster sends to all of a job's processes.

    They inherit the blocked signals. A handler of their own would come too late for some, and torch replaces it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def heed_parent(worker: int) -> None:
    """In such a process: end at SIGTERM from its parent, which sends it before waiting for processes left over."""

    def listen() -> None:
        while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
            pass
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
