"""The tiny study, and a calibration of it written by hand."""

import pytest
from forecast_by_hand import FOOTPRINT, GPU

from dynamonet.expansion import expand
from dynamonet.planning.calibration_file import Calibration
from dynamonet.planning.settings import clip_settings, pass_settings, step_settings, view_settings
from dynamonet.study import load_study


@pytest.fixture
def study(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dynamonet.planning.forecast.footprint", lambda *model: FOOTPRINT)
    return load_study(tiny)


@pytest.fixture
def runs(study):
    """The runs of an experiment with some fields: specs."""
    expansion = expand(study)

    def find(experiment: str, **fields):
        listed = expansion.experiments[experiment]
        return [expansion.runs[r["run"]] for r in listed if all(r[key] == value for key, value in fields.items())]

    return find


@pytest.fixture
def calibrated(study, runs):
    """A calibration of steps, passes and reading of dynamonet on kinetics400."""

    def write(processes=1, **step):
        (spec,) = runs("kinetics400", model="dynamonet")
        calibration = Calibration(GPU)
        step = step or {"clips_per_s": 10.0, "start_s": 5.0}
        calibration.put("steps", step_settings(spec, processes), **step)
        calibration.put("passes", pass_settings(spec), views_per_s=30.0, start_s=6.0)
        calibration.put("reading", clip_settings(spec), per_s=2.0)
        calibration.put("reading", view_settings(spec), per_s=3.0)
        calibration.save()
        return spec

    return write
