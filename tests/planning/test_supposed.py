"""Times at a speed that somebody supposes, against numbers computed by hand."""

from dataclasses import replace

import pytest
from forecast_by_hand import CLIPS, FOOTPRINT, GPU, TEST_VIDEOS, plan, row, seconds, write_fit

from dynamonet.expansion import expand
from dynamonet.planning.forecast import save_plan
from dynamonet.planning.profile import Profile
from dynamonet.study import load_study


def test_a_supposed_speed_gives_times_to_what_has_none(study, runs, calibrated):
    calibrated(processes=2)  # of another number of processes than the plan's: only its passes count
    made = plan(study, device=GPU, tflops=2.0)
    flop = 3 * 2 * 0.5e9 * CLIPS
    (spec,) = runs("kinetics400", model="backbone")
    assert seconds(made, spec) == (pytest.approx(flop / 2e12), pytest.approx(2 * 0.5e9 * TEST_VIDEOS / 2e12))
    assert row(made).sources == {"calibration": 8, "supposed": 24, "limit": 3}
    assert made.jobs[f"train {spec.run}"]["source"] == "supposed"
    assert made.jobs[f"evaluate {runs('kinetics400', model='dynamonet')[0].run}"]["source"] == "calibration"
    (said,) = [note for note in made.notes if "supposed" in note]
    assert said.startswith("24 times are supposed and not measured: the arithmetic alone, at 2 TFLOP/s")
    assert row(made).unknown == 0 and row(made).wall_s_left > 60


def test_processes_share_supposed_arithmetic(study, runs):
    profile = Profile(None, 2, of_rule={"train": {"gpu": 2, "tasks": 2}})
    made = plan(study, profile, tflops=0.001)
    assert made.device is None
    (spec,) = runs("kinetics400", model="dynamonet")
    assert seconds(made, spec)[0] == pytest.approx(3 * 2 * 0.5e9 * CLIPS / 1e9 / 2)


def test_arithmetic_of_views_is_at_their_crop(study, tiny, monkeypatch):
    tiny["views"] = {"clips": 2, "crops": 3, "crop": 48}
    monkeypatch.setattr("dynamonet.planning.arithmetic.footprint", lambda *model: replace(FOOTPRINT, gmacs_per_clip=2))
    larger = load_study(tiny)
    made = plan(larger, tflops=1.0)
    run = next(run for run, spec in expand(larger).runs.items() if spec.dataset == "kinetics400")
    assert made.jobs[f"evaluate {run}"]["seconds"] == pytest.approx(2 * 2e9 * 2 * 3 * TEST_VIDEOS / 1e12)
    assert made.jobs[f"train {run}"]["seconds"] == pytest.approx(3 * 2 * 0.5e9 * CLIPS / 1e12)


def test_what_was_supposed_is_no_forecast(study, runs):
    save_plan(plan(study, tflops=1.0), study.directory / "plan.json")
    assert row(plan(study)).unknown == 35
    (spec,) = runs("kinetics400", model="dynamonet")
    write_fit(study, spec, wall_s=30.0, clips_per_s=1.0)
    made = plan(study, tflops=2.0)
    done = row(made, "kinetics400")
    assert (done.jobs["fit"], done.compared, done.forecast_wall_s) == ((1, 3), 0, None)
    (other,) = runs("kinetics400", model="backbone")
    assert seconds(made, other)[0] == pytest.approx(3 * 2 * 0.5e9 * CLIPS / 2e12)
