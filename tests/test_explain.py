"""Real runs of a copy of the project: what each change of code, data, settings or result is told as."""

import copy
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_study import TINY

from dynamonet import code_files
from dynamonet.cli import main
from dynamonet.data.manifest import Manifest
from dynamonet.engine.objective import VALUES
from dynamonet.errors import UserError
from dynamonet.expansion import expand
from dynamonet.explain import LOGGED, explain, explain_today
from dynamonet.files import read_json, write_json
from dynamonet.report.collect import read_study
from dynamonet.report.tables_records import datasets_table
from dynamonet.run_folder import find_run
from dynamonet.spec_files import dataset_spec, write_specs
from dynamonet.study import load_study

MODELS = ("dynamonet", "slow_r50")
FILTERS, SAMPLING = "dynamonet/models/filter_operator.py", "dynamonet/data/sampling.py"
OBJECTIVE, BASELINE = "dynamonet/engine/objective.py", "baselines/slow_r50.py"


def small_study() -> dict:
    study = copy.deepcopy(TINY)
    study["experiments"] = {"kinetics400": {**study["experiments"]["kinetics400"], "models": list(MODELS)}}
    return {**study, "claims": {}}


def write(config: dict, home: Path) -> dict[str, Path]:
    """Write the specs of a study into a working folder; returns the folder of each model's run."""
    study = load_study(config)
    expansion = expand(study)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        write_specs(study, expansion)
        spec = dataset_spec(study, "kinetics400")
        write_json(study.directory / "manifests/kinetics400.spec.json", spec.model_dump())
    return {spec.model: home / study.directory / "runs" / run for run, spec in expansion.runs.items()}


def run_stages(home: Path, spec: Path, *names: str) -> None:
    """Run stages one after the other in a process of their own, with the code of the copy that lies in `home`."""
    environment = {**os.environ, "PYTHONPATH": str(home), "OMP_NUM_THREADS": "1", "GIT_DIR": "/dev/null"}
    code = "from dynamonet.cli import main; from sys import argv; assert not any(main([n, argv[1]]) for n in argv[2:])"
    command = [sys.executable, "-c", code, f"--spec={spec}", *names]
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def project(motion_home, tmp_path_factory):
    """A copy of the project in which both models are trained and evaluated."""
    home = tmp_path_factory.mktemp("project")
    for package in ("dynamonet", "baselines"):
        shutil.copytree(code_files.PROJECT / package, home / package, ignore=shutil.ignore_patterns("__pycache__"))
    (home / "data").symlink_to(motion_home / "data")
    runs = write(small_study(), home)
    run_stages(home, home / "results/tiny/manifests/kinetics400.spec.json", "prepare")
    for run in runs.values():
        run_stages(home, run / "spec.json", "train", "evaluate")
    return home


@pytest.fixture
def home(project, tmp_path, monkeypatch) -> Path:
    """A copy of that copy, whose code is that on the disk."""
    home = shutil.copytree(project, tmp_path / "home", symlinks=True)
    monkeypatch.setattr(code_files, "PROJECT", home)
    return home


@pytest.fixture
def runs(home) -> dict[str, Path]:
    return {read_json(path)["model"]: path.parent for path in home.glob("results/tiny/runs/*/spec.json")}


def edit(home: Path, file: str, text: str = "\n# edited\n") -> None:
    with (home / file).open("a") as code:
        code.write(text)


def told(explanation) -> list[tuple[str, str]]:
    return [(one.kind, one.what) for one in explanation.differences]


@pytest.mark.parametrize(
    ("file", "models"),
    [(FILTERS, {"dynamonet"}), (BASELINE, {"slow_r50"}), (SAMPLING, set(MODELS)), ("dynamonet/cli.py", set())],
)
def test_an_edited_file_is_named_by_exactly_the_runs_that_ran_it(home, runs, file, models):
    edit(home, file)
    planned = read_study(home / "results/tiny").runs.set_index("model")
    for model, run in runs.items():
        explanation = explain_today(run)
        assert told(explanation) == [("code", file)] * (model in models)
        assert explanation.stale == (model in models)
        assert planned.loc[model, "stale"] == (f"fitted and evaluated: other code: {file}" if model in models else "")


def change_manifest(home: Path) -> str:
    """One more frame in one video, of the manifest alone: its record is as it was. Returns the video's id."""
    path = home / "results/tiny/manifests/kinetics400.parquet"
    manifest = Manifest.load(path)
    manifest.rows.loc[3, "frames"] += 1
    manifest.save(path)
    return manifest.rows.loc[3, "id"]


def test_a_changed_line_of_the_manifest_is_named_with_its_video(home, runs):
    video = change_manifest(home)
    study = read_study(home / "results/tiny")
    assert set(study.runs["stale"]) == {"fitted on another manifest; evaluated on another manifest"}
    assert datasets_table(study).flat["Manifest"].iloc[0].endswith("†")
    (difference,) = explain_today(runs["slow_r50"]).differences
    assert difference.kind == "manifest"
    assert difference.note == f"1 row differs: {video} frames 12 → 13"
    shutil.rmtree(home / "results/tiny/manifests/kept")
    (difference,) = explain_today(runs["slow_r50"]).differences
    assert (difference.what, difference.note) == ("manifest hash", "")


def test_a_changed_setting_is_named_by_the_run_that_it_replaces(home, runs):
    changed = small_study()
    changed["recipes"]["short"]["learning_rate"] = 0.002
    new = write(changed, home)["slow_r50"]
    explanation = explain_today(runs["slow_r50"])
    assert [str(one) for one in explanation.differences] == ["recipe.learning_rate: 0.001 → 0.002"]
    assert explanation.stale
    assert not explain_today(new).stale
    planned = read_study(home / "results/tiny").runs.set_index("run").loc[new.name]
    assert planned["state"] == "planned"
    assert "recipe.learning_rate 0.001 → 0.002" in planned["settings_changed"]


OTHER_LOSS = """

_loss_of = loss_of


def loss_of(output, video, labels, recipe, step):
    loss = _loss_of(output, video, labels, recipe, step)
    return loss if step < 3 else Loss(2 * loss.total, loss.classification, loss.prediction)
"""


def test_a_run_that_is_trained_again_with_other_code_parts_at_a_step(home, runs):
    run = runs["slow_r50"]
    results = ("fit.json", "log.jsonl", "evaluate.json")
    again = shutil.copytree(home / "results/tiny", home / "results/again", ignore=shutil.ignore_patterns(*results))
    edit(home, OBJECTIVE, OTHER_LOSS)
    run_stages(home, again / "runs" / run.name / "spec.json", "train")
    explanation = explain(run, again / "runs" / run.name)
    assert told(explanation) == [
        ("code", OBJECTIVE),
        ("record", "evaluate.json"),
        ("log", "step 4"),
        ("weights", "final weights"),
    ]
    assert "(the same up to step 2)" in explanation.differences[2].note


def test_a_copy_is_identical(runs):
    assert explain(runs["dynamonet"], altered(runs["dynamonet"], "spec.json", str)).identical


def altered(run: Path, file: str, change) -> Path:
    """A copy of a run beside it of which one file is another."""
    other = shutil.copytree(run, run.with_name(f"{run.name}-altered"))
    path = other / file
    path.write_text(change(path.read_text()))
    return other


@pytest.mark.parametrize(
    ("file", "old", "new", "kind", "what"),
    [
        ("spec.json", '"seed": 0', '"seed": 1', "setting", "seed"),
        ("fit.json", '"torch": "', '"torch": "9', "package", "torch"),
        ("fit.json", '"tier": "bit-identical"', '"tier": "fast"', "machine", "determinism.tier"),
        ("fit.json", '"world_size": 1', '"world_size": 2', "machine", "world_size"),
        ("fit.json", '"python": "', '"python": "9', "platform", "python"),
        ("log.jsonl", '"step": 4, "steps": 6, "loss": ', '"step": 4, "steps": 6, "loss": 1', "log", "step 4"),
        ("fit.json", '"weights_sha256": "', '"weights_sha256": "0', "weights", "final weights"),
        ("evaluate.json", '"top1": 0', '"top1": 1', "metric", "top1"),
    ],
)
def test_each_kind_of_difference_between_two_runs_is_told(runs, file, old, new, kind, what):
    run = runs["dynamonet"]
    assert old in (run / file).read_text()
    other = altered(run, file, lambda text: text.replace(old, new))
    assert told(explain(run, other)) == [(kind, what)]


def test_a_record_that_one_side_lacks_is_told(runs):
    other = altered(runs["dynamonet"], "spec.json", str)
    (other / "evaluate.json").unlink()
    assert told(explain(runs["dynamonet"], other)) == [("record", "evaluate.json")]


def test_causes_are_told_before_effects_and_a_parent_that_is_stale_is_one(home, runs):
    parent, child = runs["slow_r50"], runs["dynamonet"]
    record = read_json(child / "fit.json")
    weights = read_json(parent / "fit.json")["weights_sha256"]
    record["provenance"]["init"] = {"run": parent.name, "weights_sha256": weights, "fresh": [], "left_out": []}
    write_json(child / "fit.json", record)
    assert not explain_today(child).stale
    edit(home, BASELINE)
    (difference,) = explain_today(child).differences
    assert str(difference) == f"{parent.name}: is stale: code {explain_today(parent).differences[0]}"
    write_json(parent / "fit.json", {**read_json(parent / "fit.json"), "weights_sha256": "0" * 64})
    change_manifest(home)
    assert [kind for kind, _ in told(explain_today(child))] == ["manifest", "initial weights"]


def test_the_command_says_it_to_people_and_to_programs(home, runs, capsys):
    edit(home, BASELINE)
    run, study = runs["slow_r50"], str(home / "results/tiny")
    assert main(["explain", run.name, "--study", study]) == 0
    said = capsys.readouterr().out
    assert f"{run.name}: stale" in said
    assert BASELINE in said
    assert main(["explain", str(run), str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["identical"]
    assert main(["explain", run.name]) == 2
    assert "--study" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"no spec\.json"):
        explain(find_run(study, None), run)


def test_what_is_compared_of_a_log_is_all_but_speed():
    assert (*VALUES, "learning_rate") == LOGGED
