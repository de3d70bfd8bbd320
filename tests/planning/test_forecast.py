"""Forecasts against numbers computed by hand, from records and calibrations written by hand."""

import os

import pytest
from forecast_by_hand import (
    CLIPS,
    GPU,
    OTHER,
    TEST_VIDEOS,
    plan,
    row,
    seconds,
    write_evaluation,
    write_fit,
)

from dynamonet.errors import UserError
from dynamonet.expansion import expand
from dynamonet.files import read_json, write_json
from dynamonet.planning.calibration_file import Calibration
from dynamonet.planning.forecast import save_plan
from dynamonet.planning.profile import Profile
from dynamonet.study import load_study


def test_without_records_and_calibration_nothing_is_known_but_jobs_and_arithmetic(study):
    made = plan(study)
    assert row(made).jobs == {
        "prepare": (0, 3),
        "fit": (0, 16),
        "evaluate": (0, 16),
        "measure": (0, 3),
    }
    assert row(made, "labels").jobs["fit"] == (0, 9)  # eight of its own, and the pretraining that four start from
    assert (made.device, row(made).wall_s_left, row(made).device_s_left, row(made).unknown) == (None, None, 0, 35)
    # 3 passes · 2 FLOP · 0.5 GMACs · 24 clips · 16 fits
    assert row(made).exaflop_left == pytest.approx(3 * 2 * 0.5e9 * CLIPS * 16 / 1e18)
    assert "unknown time of 16 jobs, fit: run `dynamonet calibrate` on a GPU node" in made.notes
    assert made.queue == "none, as jobs run on this machine"


def test_disk_by_hand(study):
    disk = plan(study).disk
    classes, frames, crop = 12, 8, 32
    examples = 4 * (2 * frames + 1) * 3 * crop**2
    assert disk.weights["pretraining"] == 4000
    assert disk.scores["pretraining"] == 2 * 100 + examples  # of its 20 videos, two are for testing, without scores
    predicting, alone = 12 * (100 + 8 * classes) + examples, 12 * (100 + 8 * classes)
    # the backbone reads a frame more too, though it predicts none
    assert disk.scores["kinetics400"] == 2 * predicting + alone
    # two at once, three files each: weights, and two moments of 1000 parameters
    assert disk.checkpoints == 2 * 3 * (4000 + 8000)
    assert disk.manifests == 300 * (36 + 36 + 20)
    assert disk.needed < disk.free


def test_a_finished_run_tells_the_time_of_equal_ones(study, runs):
    (done,) = runs("kinetics400", model="dynamonet")
    write_fit(study, done, wall_s=100.0, clips_per_s=0.5)  # 48 s of steps, 52 s beside them
    write_evaluation(study, done, wall_s=24.0, scored=TEST_VIDEOS)
    made = plan(study)
    (equal,) = runs("labels", model="dynamonet", init="scratch", label_fraction=0.5)
    entry = made.jobs[f"train {equal.run}"]
    assert (entry["seconds"], entry["source"]) == (pytest.approx(100), "runs")
    assert done.run in entry["note"]
    assert made.jobs[f"evaluate {equal.run}"]["seconds"] == pytest.approx(24)
    (other,) = runs("kinetics400", model="backbone")
    assert made.jobs[f"train {other.run}"]["seconds"] is None
    (tuned,) = [spec for spec in runs("ucf101", model="dynamonet") if spec.split == 1]
    assert made.jobs[f"train {tuned.run}"]["seconds"] is None  # it reads other data
    assert row(made, "kinetics400").jobs["fit"] == (1, 3)
    assert made.jobs.get(f"train {done.run}") is None  # it was done before anything was forecast


def test_more_steps_take_more_of_the_same_steps(study, tiny, runs):
    (done,) = runs("kinetics400", model="dynamonet")
    write_fit(study, done, wall_s=100.0, clips_per_s=0.5)
    tiny["recipes"]["short"]["steps"] = 60
    longer = load_study(tiny)
    spec = next(s for s in expand(longer).runs.values() if s.model == "dynamonet" and s.task == "train" and not s.init)
    assert plan(longer).jobs[f"train {spec.run}"]["seconds"] == pytest.approx(52 + 240 / 0.5)


def test_no_number_is_carried_over_from_one_device_to_another(study, runs):
    done, equal = runs("labels", model="dynamonet", init="scratch")
    write_fit(study, done, 100.0, 0.5, device=GPU)
    write_fit(study, runs("kinetics400", model="backbone")[0], 40.0, 1.0, device=OTHER)
    Calibration("a laptop").save()
    with pytest.raises(UserError, match=f"give --device NAME; known are {OTHER}; {GPU}"):
        plan(study)
    on = {device: plan(study, device=device).jobs[f"train {equal.run}"]["seconds"] for device in (GPU, OTHER)}
    assert on == {GPU: pytest.approx(100), OTHER: None}
    with pytest.raises(UserError, match="nothing is known of device 'Tesla T4'"):
        plan(study, device="Tesla T4")


def test_a_device_that_knows_nothing_of_this_study_is_not_asked_about(study, runs):
    write_fit(study, runs("labels", model="dynamonet", init="scratch")[0], 100.0, 0.5, device=GPU)
    laptop = Calibration("a laptop")
    laptop.put("steps", {"build": "another"}, clips_per_s=1.0, start_s=1.0)
    laptop.save()
    assert plan(study).device == GPU


def test_a_calibrated_job_reads_by_turns_without_loader_workers(study, calibrated):
    spec = calibrated()
    fit_s = 5 + CLIPS * (1 / 10 + 1 / 2)
    evaluation_s = 6 + TEST_VIDEOS * (1 / 30 + 1 / 3)
    assert seconds(plan(study), spec) == (pytest.approx(fit_s), pytest.approx(evaluation_s))


@pytest.mark.parametrize(("workers", "per_s"), [(3, 3 * 2.0), (7, 10.0)])
def test_with_loader_workers_the_slower_side_counts(study, calibrated, workers, per_s):
    spec = calibrated()
    profile = Profile(None, 2, of_rule={"train": {"loader_workers": workers}})
    assert seconds(plan(study, profile), spec)[0] == pytest.approx(5 + CLIPS / per_s)


def test_processes_add_up_and_count_as_devices(study, calibrated):
    spec = calibrated(processes=2)
    profile = Profile(None, 2, of_rule={"train": {"gpu": 2, "tasks": 2, "loader_workers": 7}})
    made = plan(study, profile)
    assert made.devices == 4
    assert seconds(made, spec)[0] == pytest.approx(5 + CLIPS / 20)
    assert made.jobs[f"train {spec.run}"]["devices"] == 2
    assert "gradient exchange not included" in made.jobs[f"train {spec.run}"]["note"]


def test_runs_go_before_a_calibration(study, runs, calibrated):
    spec = calibrated()
    done, left = runs("labels", model="dynamonet", init="scratch")
    write_fit(study, done, 100.0, 0.5)
    assert plan(study).jobs[f"train {left.run}"]["source"] == "runs"
    assert plan(study).jobs[f"evaluate {left.run}"]["source"] == "calibration"
    assert spec.run in {done.run, left.run}


def test_a_step_that_did_not_fit_is_said_and_has_no_time(study, calibrated):
    spec = calibrated(problem="2 would fit: set accumulation: 2 in the recipe")
    made = plan(study)
    assert seconds(made, spec)[0] is None
    assert any("fit: 2 would fit: set accumulation" in note for note in made.notes)


def test_wall_time_of_what_is_wholly_known(study, tiny, calibrated):
    calibrated()
    only = {**tiny, "models": {"dynamonet": tiny["models"]["dynamonet"]}}
    kinetics = {**tiny["experiments"]["kinetics400"], "models": ["dynamonet"]}
    only |= {
        "experiments": {"kinetics400": kinetics},
        "claims": {},
        "datasets": {"kinetics400": tiny["datasets"]["kinetics400"]},
    }
    made = plan(load_study(only))
    fit_s, evaluation_s = 5 + CLIPS * 0.6, 6 + TEST_VIDEOS * (1 / 30 + 1 / 3)
    alone = row(made, "kinetics400")
    assert alone.chain_s_left == alone.wall_s_left == pytest.approx(fit_s + evaluation_s)
    # Measuring takes every core of this machine, before or after: 60 s.
    assert row(made).wall_s_left == pytest.approx(60 + fit_s + evaluation_s)
    assert row(made).device_s_left == pytest.approx(60 + fit_s + evaluation_s)


def test_the_forecast_that_was_made_before_stays_and_is_compared(study, runs, calibrated):
    spec = calibrated()
    save_plan(plan(study), study.directory / "plan.json")
    forecast_s = 5 + CLIPS * 0.6
    calibrated(clips_per_s=1000.0, start_s=0.0)  # knows better now, and too late
    save_plan(plan(study), study.directory / "plan.json")
    write_fit(study, spec, wall_s=30.0, clips_per_s=1.0, world_size=2)
    made = plan(study)
    compared = row(made, "kinetics400")
    assert (compared.compared, compared.forecast_s, compared.took_s) == (1, pytest.approx(forecast_s), 60.0)
    assert compared.ratio == pytest.approx(60 / forecast_s)
    assert row(made, "pretraining").compared == 0
    assert row(made, "pretraining").ratio is None


def test_wall_time_that_was_forecast_beside_what_it_took(study, tiny, calibrated):
    """From the start of the first job, 40 s before its record, to the end of the last, 100 s later."""
    tiny["models"] = {"dynamonet": tiny["models"]["dynamonet"]}
    tiny["experiments"] = {"kinetics400": {**tiny["experiments"]["kinetics400"], "models": ["dynamonet"]}}
    small = load_study({**tiny, "claims": {}})
    spec = calibrated()
    first = plan(small)
    save_plan(first, small.directory / "plan.json")
    write_fit(small, spec, wall_s=40.0, clips_per_s=1.0)
    os.utime(small.directory / "runs" / spec.run / "fit.json", (1000, 1000))
    half = row(plan(small), "kinetics400")
    assert (half.forecast_wall_s, half.took_wall_s) == (row(first, "kinetics400").wall_s_left, None)
    write_evaluation(small, spec, wall_s=20.0, scored=TEST_VIDEOS)
    os.utime(small.directory / "runs" / spec.run / "evaluate.json", (1100, 1100))
    assert row(plan(small), "kinetics400").took_wall_s == 140.0
    assert row(plan(small)).took_wall_s is None  # the model is not measured yet


def test_runs_of_another_version_are_counted_not_skipped(study, runs):
    (spec,) = runs("kinetics400", model="dynamonet")
    write_fit(study, spec, 100.0, 0.5)
    path = study.directory / "runs" / spec.run / "spec.json"
    write_json(path, {**read_json(path), "forgotten": 1})
    assert any(note.startswith("1 finished runs of another version tell no time") for note in plan(study).notes)


def test_a_broken_calibration_is_refused(study, calibrated):
    calibrated()
    path = next((study.directory.parent / "calibration").glob("*.json"))
    content = read_json(path)
    write_json(path, {**content, "steps": [{"settings": {}}]})
    with pytest.raises(UserError, match=r"holds no calibration at steps: remove it and run `dynamonet calibrate`"):
        plan(study)


def test_a_plan_of_another_version_is_refused(study):
    made = plan(study).as_json()
    write_json(study.directory / "plan.json", {**made, "jobs": {"train x": {"seconds": 1.0}}})
    with pytest.raises(UserError, match=r"plan.json is a plan of another version: remove it"):
        plan(study)
