"""Calibration on a CPU: what is measured is what the plan asks for."""

import copy

import pytest
import torch
from tiny_study import TINY

from dynamonet.cli import main
from dynamonet.engine.update import Update
from dynamonet.expansion import expand
from dynamonet.planning import steps
from dynamonet.planning.calibration import calibrate
from dynamonet.planning.calibration_file import Calibration, read_calibration
from dynamonet.planning.footprint import Footprint
from dynamonet.planning.forecast import make_plan
from dynamonet.planning.profile import Profile
from dynamonet.spec import load_spec
from dynamonet.study import load_study

HERE = Profile(None, jobs=2)


@pytest.fixture
def short(monkeypatch):
    """As few steps as can be."""
    monkeypatch.setattr(steps, "WARM_UP", 1)
    monkeypatch.setattr(steps, "RUNS_S", 0.0)


@pytest.fixture
def dynamonet_spec(prepared):
    return load_spec(prepared("kinetics400", model="dynamonet"))


def test_a_calibrated_study_is_planned_without_a_gap(prepared, short, monkeypatch):
    monkeypatch.setattr("dynamonet.planning.forecast.footprint", lambda *model: Footprint(1.0, 1000, 4000, 3))
    study = load_study(copy.deepcopy(TINY))
    expansion = expand(study)
    calibration = calibrate(study, expansion, HERE)
    found = {kind: len(entries) for kind, entries in calibration.entries.items()}
    # One pretraining and three models that train; three that are evaluated. Two models read clips of one shape.
    assert (found["steps"], found["passes"]) == (4, 3)
    assert read_calibration(calibration.path).entries == calibration.entries
    made = make_plan(study, expansion, HERE)
    total = made.rows[-1]
    assert made.device == calibration.device
    assert (total.unknown, total.sources) == (0, {"calibration": 32, "limit": 3})
    assert total.chain_s_left <= total.wall_s_left <= total.device_s_left * 2
    assert not any("not included" in job["note"] for job in made.jobs.values())


def test_a_calibration_keeps_what_other_studies_have_left(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for build, rate in (("a", 1.0), ("b", 2.0), ("a", 3.0)):
        one = Calibration("GPU 1/7")
        one.put("steps", {"build": build}, clips_per_s=rate, start_s=0.0)
        one.save()
    read = read_calibration(one.path)
    assert one.path.name == "gpu-1-7.json"
    assert [read.find("steps", {"build": build})["clips_per_s"] for build in "ab"] == [3.0, 2.0]


def test_a_step_without_memory_is_a_problem_that_says_what_would_fit(dynamonet_spec, short, monkeypatch):
    def gradients(self, batch, step):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(Update, "gradients", gradients)
    found = steps.measure_step(dynamonet_spec, 4, 12, torch.device("cpu"))
    assert list(found) == ["problem"]
    assert "set accumulation: 2 in the recipe" in found["problem"]


def test_an_operator_that_refuses_is_a_problem(dynamonet_spec, short, monkeypatch):
    def refuse(*arguments):
        raise RuntimeError("fold_cuda does not have a deterministic implementation, but you set")

    monkeypatch.setattr(steps, "score_views", refuse)
    monkeypatch.setattr(Update, "gradients", refuse)
    for found in (
        steps.measure_step(dynamonet_spec, 4, 12, torch.device("cpu")),
        steps.measure_pass(dynamonet_spec, 12, torch.device("cpu")),
    ):
        assert "fold_cuda has no deterministic implementation" in found["problem"]


def test_any_other_failure_is_not_hidden(dynamonet_spec, short, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("a bug")

    monkeypatch.setattr(steps, "score_views", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        steps.measure_pass(dynamonet_spec, 12, torch.device("cpu"))


def test_a_gpu_gets_the_same_pixels_in_pieces(dynamonet_spec):
    finished = steps._batch(dynamonet_spec, 2, torch.device("cpu"))["video"]
    pieces = steps._batch(dynamonet_spec, 2, torch.device("meta"))["video"]
    assert finished.shape == (2, 3, 9, 32, 32)
    assert torch.equal(pieces.finished(torch.device("cpu")), finished)


def test_the_command_measures_a_study_that_is_not_prepared(tiny, tiny_file, tmp_path, monkeypatch, short, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["calibrate", "--study", str(tiny_file), "--config", "experiments={kinetics400: {claim: a, models: "
                 "[slow_r50], dataset: kinetics400, recipe: short}}", "claims={}"]) == 0  # fmt: skip
    (path,) = (tmp_path / "results/calibration").glob("*.json")
    said = capsys.readouterr().out
    assert "slow_r50 4×32², train, 4 clips, fp32" in said
    assert len(read_calibration(path).entries["steps"]) == 1
    assert not read_calibration(path).entries["reading"]
