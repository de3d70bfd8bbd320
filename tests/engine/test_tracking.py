import importlib.util
import json
import signal
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dynamonet.cli import main
from dynamonet.engine import interrupt, tracking
from dynamonet.engine.fit import fit
from dynamonet.engine.tracking import open_trackers
from dynamonet.errors import UserError
from dynamonet.expansion import expand
from dynamonet.study import load_study

SPEC = {"model": "dynamonet", "recipe": {"steps": 6, "crop_scales": [1.0]}, "options": {}}


def line(step: int, loss: float = 1.0) -> dict:
    return {"step": step, "steps": 6, "loss": loss, "loss_prediction": None, "clips_per_s": 5.0}


@pytest.fixture
def run_dir(tmp_path) -> Path:
    folder = tmp_path / "results/tiny/runs/dynamonet-ucf101.1-s0-3f2a91c0"
    folder.mkdir(parents=True)
    return folder


def log_holds(run_dir: Path, *lines: dict) -> None:
    (run_dir / "log.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))


def log_of(run_dir: Path) -> list[dict]:
    return [json.loads(one) for one in (run_dir / "log.jsonl").read_text().splitlines()]


def on_tensorboard(run_dir: Path) -> dict[str, list[tuple[int, float]]]:
    """Tag -> (step, value) of each point, as TensorBoard shows them."""
    accumulator = EventAccumulator(str(run_dir / "tensorboard"))
    accumulator.Reload()
    return {
        tag: [(event.step, event.value) for event in accumulator.Scalars(tag)] for tag in accumulator.Tags()["scalars"]
    }


class WandBRun:
    """What tracking uses of a W&B run. `step` is the next that W&B takes."""

    def __init__(self, step: int = 0):
        self.step, self.rows, self.exit_code = step, [], None

    def log(self, values, step):
        self.rows.append((step, values))
        self.step = step + 1

    def finish(self, exit_code):
        self.exit_code = exit_code


@pytest.fixture
def wandb(monkeypatch):
    """A package wandb whose `init` notes its options and the blocked signals, and returns `run`."""
    package = SimpleNamespace(__spec__=SimpleNamespace(origin=__file__), Settings=dict, run=WandBRun())

    def init(**options):
        package.options, package.blocked = options, signal.pthread_sigmask(signal.SIG_BLOCK, ())
        return package.run

    package.init = init
    monkeypatch.setitem(sys.modules, "wandb", package)
    return package


class MLflowClient:
    """What tracking uses of MLflow's client, with one server's runs in `RUNS`."""

    RUNS: list[SimpleNamespace]

    def create_run(self, experiment, run_name):
        run = SimpleNamespace(info=SimpleNamespace(run_id=str(len(self.RUNS))), name=run_name, status="RUNNING")
        run.params, run.points = {}, []
        self.RUNS.append(run)
        return run

    def search_runs(self, experiments, filter_string, order_by, max_results):
        assert order_by == ["attributes.start_time DESC"]
        return [run for run in self.RUNS[::-1] if f"'{run.name}'" in filter_string][:max_results]

    def log_batch(self, run_id, metrics=(), params=()):
        self.RUNS[int(run_id)].params |= {param.key: param.value for param in params}
        self.RUNS[int(run_id)].points += metrics

    def get_metric_history(self, run_id, key):
        return [point for point in self.RUNS[int(run_id)].points if point.key == key]

    def update_run(self, run_id, status):
        self.RUNS[int(run_id)].status = status

    set_terminated = update_run


@pytest.fixture
def mlflow_runs(monkeypatch) -> list:
    monkeypatch.setattr(MLflowClient, "RUNS", [], raising=False)
    entities = SimpleNamespace(
        Metric=lambda key, value, timestamp, step: SimpleNamespace(key=key, value=value, step=step),
        Param=lambda key, value: SimpleNamespace(key=key, value=value),
    )
    package = SimpleNamespace(__spec__=SimpleNamespace(origin=__file__), entities=entities, MlflowClient=MLflowClient)
    package.set_experiment = lambda name: SimpleNamespace(experiment_id=name)
    monkeypatch.setitem(sys.modules, "mlflow", package)
    return MLflowClient.RUNS


def test_tensorboard_shows_the_log_of_a_fit_that_is_stopped_and_goes_on(prepared, monkeypatch):
    spec_path = prepared("kinetics400", model="dynamonet")
    with monkeypatch.context() as patch:
        patch.setattr(interrupt, "received", lambda: signal.SIGUSR2)
        for _ in range(3):
            with pytest.raises(interrupt.Interrupted):
                fit(spec_path, trackers=("tensorboard",))
    fit(spec_path, trackers=("tensorboard",))
    lines, shown = log_of(spec_path.parent), on_tensorboard(spec_path.parent)
    assert [one["step"] for one in lines] == [2, 4, 6]
    assert {"loss", "loss_classification", "loss_prediction", "learning_rate", "clips_per_s"} <= set(shown)
    for tag, points in shown.items():
        assert points == [(one["step"], pytest.approx(one[tag])) for one in lines], tag


def test_steps_that_a_killed_process_had_shown_are_shown_as_they_are_done_again(run_dir):
    killed = open_trackers(["tensorboard"], run_dir, SPEC, from_step=0)
    for step in (2, 4, 6):
        killed.log(line(step, loss=10.0 * step))  # and no close
    log_holds(run_dir, line(2, loss=20.0))
    again = open_trackers(["tensorboard"], run_dir, SPEC, from_step=2)
    again.log(line(4, loss=0.5))
    again.close()
    assert on_tensorboard(run_dir)["loss"] == [(2, 20.0), (4, 0.5)]


def test_a_fit_that_begins_anew_shows_nothing_of_the_one_before(run_dir):
    for loss in (7.0, 5.0):
        trackers = open_trackers(["tensorboard"], run_dir, SPEC, from_step=0)
        trackers.log(line(2, loss))
        trackers.close()
    assert on_tensorboard(run_dir)["loss"] == [(2, 5.0)]


def test_a_tracker_that_is_new_at_a_restart_is_given_the_whole_log(run_dir, wandb):
    log_holds(run_dir, line(2), line(4))
    trackers = open_trackers(["tensorboard", "wandb"], run_dir, SPEC, from_step=4)
    trackers.log(line(6))
    trackers.close()
    assert [step for step, _ in on_tensorboard(run_dir)["loss"]] == [2, 4, 6]
    assert [step for step, _ in wandb.run.rows] == [2, 4, 6]


def test_wandb_is_told_whose_run_it_is_and_how_it_ended(run_dir, wandb):
    trackers = open_trackers(["wandb"], run_dir, SPEC, from_step=0)
    trackers.log(line(4))
    trackers.close()
    about = {key: wandb.options[key] for key in ("project", "id", "config", "resume")}
    assert about == {"project": "tiny", "id": run_dir.name, "config": SPEC, "resume": None}
    assert wandb.run.rows == [(4, {"loss": 1.0, "clips_per_s": 5.0})]
    assert wandb.run.exit_code == interrupt.EXIT_STATUS
    assert set(interrupt.SIGNALS) <= wandb.blocked
    assert not set(interrupt.SIGNALS) & signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_wandb_goes_on_in_the_run_that_is_there(run_dir, wandb):
    log_holds(run_dir, line(2))
    wandb.run = WandBRun(step=5)  # its server has steps 2 and 4
    trackers = open_trackers(["wandb"], run_dir, SPEC, from_step=2)
    trackers.log(line(4))
    trackers.log(line(6))
    trackers.close()
    assert wandb.options["resume"] == "allow"
    assert [step for step, _ in wandb.run.rows] == [6]
    assert wandb.run.exit_code == 0


def test_mlflow_shows_each_step_once_in_one_run(run_dir, mlflow_runs):
    first = open_trackers(["mlflow"], run_dir, SPEC, from_step=0)
    first.log(line(2))
    first.log(line(4))
    first.close()
    (run,) = mlflow_runs
    assert run.status == "KILLED"
    log_holds(run_dir, line(2))
    second = open_trackers(["mlflow"], run_dir, SPEC, from_step=2)
    assert run.status == "RUNNING"
    second.log(line(4))
    second.log(line(6))
    second.close()
    assert mlflow_runs == [run]
    assert (run.name, run.status) == (run_dir.name, "FINISHED")
    assert run.params == {
        "model": "dynamonet",
        "recipe.steps": "6",
        "recipe.crop_scales": "[1.0]",
        "options": "{}",
    }
    assert [(point.key, point.step) for point in run.points] == [
        (key, step) for step in (2, 4, 6) for key in ("loss", "clips_per_s")
    ]


def test_a_tracker_that_fails_is_switched_off_with_one_line(run_dir, wandb, capsys):
    def log(values, step):
        raise ConnectionError("no route to host\nand a long story")

    wandb.run.log = log
    trackers = open_trackers(["wandb", "tensorboard"], run_dir, SPEC, from_step=0)
    for step in (2, 4, 6):
        trackers.log(line(step))
    trackers.close()
    said = capsys.readouterr().err
    assert said == ("tracker wandb is switched off, ConnectionError: no route to host; log.jsonl has every line\n")
    assert [step for step, _ in on_tensorboard(run_dir)["loss"]] == [2, 4, 6]


def test_a_tracker_that_cannot_be_opened_is_switched_off_with_one_line(run_dir, wandb, capsys):
    def init(**options):
        raise RuntimeError("not logged in")

    wandb.init = init
    trackers = open_trackers(["wandb", "tensorboard"], run_dir, SPEC, from_step=0)
    trackers.log(line(2))
    trackers.close()
    assert capsys.readouterr().err.count("\n") == 1
    assert [step for step, _ in on_tensorboard(run_dir)["loss"]] == [2]


def test_a_server_that_does_not_answer_holds_nothing_up(run_dir, wandb, capsys, monkeypatch):
    monkeypatch.setattr(tracking, "CLOSING_TAKES_S", 0.1)
    answer = threading.Event()
    wandb.run.log = lambda values, step: answer.wait()
    trackers = open_trackers(["wandb"], run_dir, SPEC, from_step=0)
    for step in (2, 4, 6):
        trackers.log(line(step))
    assert capsys.readouterr().err == ""
    trackers.close()
    answer.set()
    assert "TimeoutError" in capsys.readouterr().err


@pytest.mark.parametrize("left_behind", [False, True])
def test_a_package_that_is_missing_is_named_before_training(left_behind, prepared, tmp_path, monkeypatch, capsys):
    spec_path = prepared("kinetics400", model="backbone")
    find_spec = importlib.util.find_spec
    folder = SimpleNamespace(origin=None) if left_behind else None  # W&B leaves a folder `wandb` where it has run
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: folder if name == "wandb" else find_spec(name))
    assert main(["train", "--spec", str(spec_path), "--trackers", "tensorboard,wandb"]) == 2
    assert capsys.readouterr().err == (
        "error: trackers: wandb is not installed: run `pip install wandb`, or leave it out\n"
    )
    assert [path.name for path in spec_path.parent.iterdir()] == ["spec.json"]


def test_an_unknown_tracker_is_refused(run_dir, tiny):
    with pytest.raises(UserError, match="there is no 'visdom': known are tensorboard, wandb, mlflow"):
        open_trackers(["visdom"], run_dir, SPEC, from_step=0)
    with pytest.raises(UserError, match="trackers"):
        load_study({**tiny, "trackers": ["visdom"]})


def test_without_trackers_nothing_is_written(run_dir):
    trackers = open_trackers([], run_dir, SPEC, from_step=0)
    trackers.log(line(2))
    trackers.close()
    assert list(run_dir.iterdir()) == []


def test_trackers_are_no_part_of_a_run(tiny):
    assert load_study(tiny).trackers == ("tensorboard",)
    assert expand(load_study(tiny)).runs == expand(load_study({**tiny, "trackers": ["wandb"]})).runs
