"""Trackers: views of a fit's log.jsonl in TensorBoard, Weights & Biases and MLflow. The file is the truth.

A tracker is no part of a run's identity, and its trouble is none of the fit's: one that fails is switched off with one
line on stderr. Free of torch, and of the trackers' own packages until one is opened.
"""

import importlib.util
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol, get_args

from dynamonet.engine import interrupt
from dynamonet.errors import UserError

TrackerName = Literal["tensorboard", "wandb", "mlflow"]
NAMES: tuple[str, ...] = get_args(TrackerName)
NOT_VALUES = ("step", "steps")
OPENING_TAKES_S = 30
CLOSING_TAKES_S = 30.0
"""How long a server that does not answer may hold a fit up."""


class Tracker(Protocol):
    shown: int
    """The last step that it shows already; steps up to here are not given to it again."""

    def log(self, step: int, values: dict[str, float]) -> None: ...

    def close(self, complete: bool) -> None:
        """complete: whether the fit has reached its last step."""


def check_trackers(names: Sequence[str]) -> None:
    """Raises UserError for a name that is not known, and for a tracker whose package is not installed."""
    for name in names:
        if name not in NAMES:
            raise UserError(f"trackers: there is no {name!r}: known are {', '.join(NAMES)}")
        # A folder of that name, such as W&B leaves behind, is found too, and has no origin.
        if getattr(importlib.util.find_spec(name), "origin", None) is None:
            raise UserError(f"trackers: {name} is not installed: run `pip install {name}`, or leave it out")


def open_trackers(names: Sequence[str], run_dir: Path, spec_dict: dict, from_step: int) -> "Trackers":
    """Open the trackers of a fit that goes on after `from_step` steps (0: it begins), with log.jsonl at that step.

    For one process of the fit, once its loader processes have been started: trackers have threads, which a fork does
    not copy. run_dir: results/<study>/runs/<run>; its name is the run's, and the study's name the W&B project and
    MLflow experiment where WANDB_PROJECT and MLFLOW_EXPERIMENT_NAME say nothing else. spec_dict: shown as the run's
    configuration. Lines of log.jsonl that a tracker does not show yet are given to it now.

    Raises UserError as `check_trackers` does; a tracker that cannot be opened for another reason is switched off.
    """
    if not names:
        return Trackers()
    check_trackers(names)
    openers = {
        "tensorboard": lambda: _TensorBoard(run_dir, from_step),
        "wandb": lambda: _InBackground(_WandB(run_dir, spec_dict, from_step)),
        "mlflow": lambda: _InBackground(_MLflow(run_dir, spec_dict, from_step)),
    }
    trackers = Trackers()
    with interrupt.hidden_from_children():  # a signal to all of a job's processes must not end W&B's
        for name in dict.fromkeys(names):
            trackers.open(name, openers[name])
    log = run_dir / "log.jsonl"
    for line in log.read_text().splitlines() if log.is_file() else []:
        trackers.log(json.loads(line))
    return trackers


class Trackers:
    """The trackers that work. What one of them raises ends its work, and nothing else."""

    def __init__(self):
        self._working: dict[str, Tracker] = {}
        self._complete = False

    def open(self, name: str, opener: Callable[[], Tracker]) -> None:
        if (tracker := self._attempt(name, opener)) is not None:
            self._working[name] = tracker

    def log(self, line: dict) -> None:
        """Show the numbers of a line of log.jsonl, at its `step` of `steps`. Waits for no server."""
        step, values = line["step"], {key: value for key, value in line.items() if _is_value(key, value)}
        self._complete = step == line["steps"]
        for name, tracker in list(self._working.items()):
            if step > tracker.shown:
                self._attempt(name, tracker.log, step, values)

    def close(self) -> None:
        """Hand over what is still on its way; gives a server up after `CLOSING_TAKES_S`."""
        for name, tracker in list(self._working.items()):
            self._attempt(name, tracker.close, self._complete)
        self._working.clear()

    def _attempt(self, name: str, function: Callable, *arguments):
        try:
            return function(*arguments)
        except Exception as error:
            self._working.pop(name, None)
            reason = (str(error).strip() or "no reason given").splitlines()[0]
            print(
                f"tracker {name} is switched off, {type(error).__name__}: {reason}; log.jsonl has every line",
                file=sys.stderr,
            )


def _is_value(key: str, value) -> bool:
    return key not in NOT_VALUES and isinstance(value, int | float)


class _InBackground:
    """A tracker that talks to a server, from a thread of its own: the fit does not wait for the answers."""

    def __init__(self, tracker: Tracker):
        self._tracker, self.shown = tracker, tracker.shown
        self._error: Exception | None = None
        self._calls: queue.SimpleQueue[tuple] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        function = None
        while function != self._tracker.close:
            function, *arguments = self._calls.get()
            try:
                function(*arguments)
            except Exception as error:
                self._error = error  # the fit's own thread raises it
                return

    def log(self, step: int, values: dict[str, float]) -> None:
        self._raise()
        self._calls.put((self._tracker.log, step, values))

    def close(self, complete: bool) -> None:
        self._calls.put((self._tracker.close, complete))
        self._thread.join(CLOSING_TAKES_S)
        self._raise()
        if self._thread.is_alive():
            raise TimeoutError(f"its server has not taken everything within {CLOSING_TAKES_S:.0f} s")

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error


class _TensorBoard:
    """Event files in `<run>/tensorboard`, one per start."""

    def __init__(self, run_dir: Path, from_step: int):
        from torch.utils.tensorboard import SummaryWriter

        folder = run_dir / "tensorboard"
        self.shown = from_step if any(folder.glob("events.*")) else 0
        # From the purged step on, TensorBoard forgets what the earlier files hold.
        self._writer = SummaryWriter(str(folder), purge_step=self.shown + 1)

    def log(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()  # or a process that is killed would leave a gap

    def close(self, complete: bool) -> None:
        self._writer.close()


class _WandB:
    """A W&B run whose id is the run's name: a restarted fit goes on in it, one that begins anew takes its place."""

    def __init__(self, run_dir: Path, spec_dict: dict, from_step: int):
        import wandb

        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", run_dir.parents[1].name),
            id=run_dir.name,
            name=run_dir.name,
            config=spec_dict,
            dir=str(run_dir),
            resume="allow" if from_step else None,
            # console: or W&B takes the fit's stdout and stderr.
            settings=wandb.Settings(console="off", init_timeout=OPENING_TAKES_S),
        )
        self.shown = self._run.step - 1

    def log(self, step: int, values: dict[str, float]) -> None:
        self._run.log(values, step=step)

    def close(self, complete: bool) -> None:
        self._run.finish(exit_code=0 if complete else interrupt.EXIT_STATUS)


class _MLflow:
    """An MLflow run of the run's name: a restarted fit goes on in the latest, one that begins anew adds another."""

    def __init__(self, run_dir: Path, spec_dict: dict, from_step: int):
        # MLflow's own defaults try for many minutes to reach a server that is gone.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(OPENING_TAKES_S // 3))
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        import mlflow

        self._entities, self._client, self.shown = mlflow.entities, mlflow.MlflowClient(), 0
        title = os.environ.get("MLFLOW_EXPERIMENT_NAME", run_dir.parents[1].name)
        experiment, name = mlflow.set_experiment(title).experiment_id, run_dir.name
        found = self._latest(experiment, name) if from_step else []
        if found:
            self._run = found[0].info.run_id
            self._client.update_run(self._run, status="RUNNING")
            self.shown = max((metric.step for metric in self._client.get_metric_history(self._run, "loss")), default=0)
        else:
            self._run = self._client.create_run(experiment, run_name=name).info.run_id
            settings = [self._entities.Param(key, str(value)) for key, value in _leaves(spec_dict)]
            for start in range(0, len(settings), 100):  # as many as MLflow takes at once
                self._client.log_batch(self._run, params=settings[start : start + 100])

    def _latest(self, experiment: str, name: str) -> list:
        name_is = f"attributes.run_name = '{name}'"
        return self._client.search_runs([experiment], name_is, order_by=["attributes.start_time DESC"], max_results=1)

    def log(self, step: int, values: dict[str, float]) -> None:
        now_ms = int(time.time() * 1000)
        metrics = [self._entities.Metric(key, value, now_ms, step) for key, value in values.items()]
        self._client.log_batch(self._run, metrics=metrics)

    def close(self, complete: bool) -> None:
        self._client.set_terminated(self._run, "FINISHED" if complete else "KILLED")


def _leaves(tree: dict, prefix: str = "") -> Iterator[tuple[str, object]]:
    """The values of nested mappings, by dotted keys."""
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
