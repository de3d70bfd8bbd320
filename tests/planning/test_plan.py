"""The plan of the paper's study, and the command."""

import json
import subprocess
import sys

import pytest
import yaml
from tiny_study import ROOT

from dynamonet.cli import main
from dynamonet.expansion import expand
from dynamonet.planning.footprint import Footprint, footprint
from dynamonet.planning.forecast import make_plan
from dynamonet.planning.profile import Profile
from dynamonet.study import load_study, read_config


def test_the_papers_study_is_planned_from_official_counts(monkeypatch, tmp_path):
    paper = load_study(read_config(ROOT / "config/paper.yaml"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("dynamonet.planning.forecast.footprint", lambda *model: Footprint(0.5, 1000, 4000, 3))
    made = make_plan(paper, expand(paper), Profile(ROOT / "slurm", 100, "submitit", of_rule={"train": {"gpu": 1}}))
    assert made.videos["kinetics400"].splits[1] == {"train": 246534, "test": 19906}
    assert (made.devices, made.queue) == (100, "unknown, as there is no SLURM here")
    # each model on three splits with three seeds, each seed after a training of its own on Kinetics-400
    ucf101 = next(row for row in made.rows if row.name == "ucf101")
    models = len(paper.experiments["ucf101"].models)
    assert ucf101.jobs["fit"] == (0, models * 3 * 3 + models * 3)
    assert ucf101.jobs["evaluate"] == (0, models * 3 * 3)


def test_the_command_writes_its_plan_and_needs_no_torch_for_models_it_knows(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny["models"] = {"dynamonet": tiny["models"]["dynamonet"]}
    tiny["experiments"] = {"pretraining": tiny["experiments"]["pretraining"]}
    tiny["claims"] = {}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(tiny))
    study = load_study(tiny)
    config = study.models["dynamonet"]
    counted = footprint(config.build, config.options, config.clip, study.measured_classes)
    assert counted == footprint(config.build, config.options, config.clip, study.measured_classes)
    assert counted.weights_bytes > 4 * counted.parameters  # running statistics too
    code = """
import sys
from dynamonet.cli import main
status = main(["plan", "--study", "tiny.yaml", "--json", "out.json", "--tflops", "1e-6", "--config", "name=other"])
print(status, "torch" in sys.modules)
"""
    said = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert said.stdout.splitlines()[-1:] == ["0 False"], said.stderr
    assert "Jobs done of all, and what is left" in said.stdout
    assert "supposed to sustain 1e-06 TFLOP/s" in said.stdout and "not measured" in said.stdout
    written = json.loads((tmp_path / "out.json").read_text())
    assert written == json.loads((tmp_path / "results/other/plan.json").read_text())
    assert written["rows"][-1]["jobs"]["fit"] == [0, 1]
    assert written["rows"][0]["exaflop_left"] == pytest.approx(6 * counted.gmacs_per_clip * 6 * 4 / 1e9)


def test_a_missing_study_is_one_sentence(capsys):
    assert main(["plan", "--study", "nowhere.yaml"]) == 2
    assert capsys.readouterr().err.startswith("error: cannot read the study file nowhere.yaml")


@pytest.mark.parametrize("speed", ["0", "-3", "nan", "fast"])
def test_what_is_no_speed_is_refused(capsys, speed):
    with pytest.raises(SystemExit) as ended:
        main(["plan", "--study", "nowhere.yaml", "--tflops", speed])
    said = capsys.readouterr().err.splitlines()[-1]
    assert ended.value.code == 2
    assert said.endswith(f"--tflops: {speed} is no speed: give what the device sustains, above 0")
