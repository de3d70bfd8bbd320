"""A changed file, manifest or setting: which runs it turns stale, and which it does not."""

import shutil
from pathlib import Path

import pytest
import synthetic_study

from dynamonet.code_files import GONE, PROJECT, WITHOUT_EFFECT, CodeOnDisk
from dynamonet.files import read_json, write_json
from dynamonet.report.collect import read_study
from dynamonet.report.tables import accuracy_table
from dynamonet.report.tables_records import cost_table, runs_table


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Path:
    """Five models with a run per data set and split: DynamoNet, two with files of their own, two without."""
    study = synthetic_study.plan(models=5, datasets=2)
    study["experiments"] = {"main": study["experiments"]["main"]}
    study["claims"] = {}
    return synthetic_study.write_study(tmp_path_factory.mktemp("done"), study)


@pytest.fixture
def study(done, tmp_path) -> Path:
    return shutil.copytree(done, tmp_path / "study")


def stale(directory: Path) -> dict[str, str]:
    runs = read_study(directory).runs
    return {run: why for run, why in zip(runs["run"], runs["stale"], strict=True) if why}


def edited(monkeypatch, *files: str) -> None:
    """As if these files had other bytes now than when the records were written."""
    now = CodeOnDisk.now
    monkeypatch.setattr(CodeOnDisk, "now", lambda self, names: now(self, names) | dict.fromkeys(files, "0" * 16))


@pytest.mark.parametrize(
    ("file", "models"),
    [
        ("baselines/c2d_r50.py", {"c3d"}),
        ("dynamonet/models/filter_operator.py", {"dynamonet"}),
        ("dynamonet/data/sampling.py", {"dynamonet", "no_dmr", "fixed_filters", "c3d", "r2plus1d"}),
        ("dynamonet/cli.py", set()),
        ("baselines/slow_r50.py", set()),
    ],
)
def test_an_edited_file_turns_those_runs_stale_that_imported_it(study, monkeypatch, file, models):
    edited(monkeypatch, file)
    runs = read_study(study).runs
    found = stale(study)
    assert set(found) == set(runs.loc[runs["model"].isin(models), "run"])
    assert set(found.values()) <= {f"fitted and evaluated: other code: {file}"}


def test_a_measurement_with_other_code_is_noted(study, monkeypatch):
    edited(monkeypatch, "baselines/c2d_r50.py")
    notes = cost_table(read_study(study)).notes
    assert notes == ["Stale measurements: C3D (other code: baselines/c2d_r50.py)."]


def test_a_file_of_one_stage_is_said_of_that_stage(study, monkeypatch):
    edited(monkeypatch, "dynamonet/engine/evaluate.py")
    assert set(stale(study).values()) == {"evaluated: other code: dynamonet/engine/evaluate.py"}


def test_a_file_that_is_gone_counts_as_changed(study):
    path = next(study.glob("runs/c3d-*/fit.json"))
    record = read_json(path)
    record["provenance"]["code"]["baselines/no_longer_there.py"] = "ab" * 8
    write_json(path, record)
    assert stale(study) == {path.parent.name: "fitted: other code: baselines/no_longer_there.py"}


def test_a_record_without_its_code_is_not_taken_for_todays(study):
    path = next(study.glob("runs/c3d-*/evaluate.json"))
    record = read_json(path)
    del record["provenance"]["code"]
    write_json(path, record)
    assert stale(study) == {path.parent.name: "evaluated: its record does not say which code it ran"}


def test_a_fit_that_went_on_with_other_code_is_stale(study):
    path = next(study.glob("runs/c3d-*/fit.json"))
    record = read_json(path)
    record["provenance"]["resumed_with_changed"] = ["dynamonet/engine/update.py"]
    write_json(path, record)
    assert stale(study) == {path.parent.name: "fitted in parts by different code: dynamonet/engine/update.py"}


def test_one_changed_manifest_turns_its_data_set_stale(study):
    path = study / "manifests/hmdb51.json"
    write_json(path, {**read_json(path), "manifest_sha256": "f" * 64})
    runs = read_study(study).runs
    assert set(stale(study)) == set(runs.loc[runs["dataset"] == "hmdb51", "run"])


def test_what_is_listed_as_without_effect_is_there_and_has_a_reason():
    for file, reason in WITHOUT_EFFECT.items():
        assert (PROJECT / file).is_file()
        assert reason
    assert CodeOnDisk().now(["dynamonet/none.py"]) == {"dynamonet/none.py": GONE}


def rename(study: Path, old: str, new: str, **settings) -> None:
    """The study now plans `new`, with these settings, in the place of the finished run `old`."""
    text = (study / "study.json").read_text().replace(old, new)
    (study / "study.json").write_text(text)
    spec = {"task": "train", "init": None, "checkpoint": None, "recipe": {"learning_rate": 0.1, "steps": 10}, "seed": 0}
    write_json(study / "runs" / old / "spec.json", {"run_name": old, **spec})
    recipe = spec["recipe"] | settings.pop("recipe", {})
    write_json(study / "runs" / new / "spec.json", {"run_name": new, **spec, "recipe": recipe, **settings})


def test_a_changed_setting_leaves_the_run_missing_and_says_what_changed(study):
    old = next(study.glob("runs/c3d-ucf101.1-s0-*")).name
    new = f"{old.rpartition('-')[0]}-0123abcd"
    before = accuracy_table(read_study(study)).tidy
    rename(study, old, new, recipe={"learning_rate": 0.2})
    records = read_study(study)
    row = runs_table(records).tidy.set_index("run").loc[new]
    assert (row["state"], row["stale"]) == ("planned", "")
    assert row["settings_changed"] == f"settings changed: recipe.learning_rate 0.1 → 0.2 (finished: {old})"
    table = accuracy_table(records)
    here = (table.tidy["model"] == "c3d") & (table.tidy["dataset"] == "ucf101")
    assert table.tidy.loc[here, "n"].item() == before.loc[here, "n"].item() - 1
    marked = table.flat.set_index("Model").map(lambda cell: "‡" in cell).any(axis=1)
    assert marked[marked].index.tolist() == ["C3D"]
    assert any(note.startswith("‡ A run is missing") for note in table.marked_notes)
    assert not stale(study)


def test_a_run_with_another_start_is_not_taken_for_the_same(study):
    old = next(study.glob("runs/c3d-ucf101.1-s0-*")).name
    new = f"{old.rpartition('-')[0]}-0123abcd"
    rename(study, old, new, init="pretrain-c3d-pool.1-s0-aaaaaaaa")
    assert set(read_study(study).runs["settings_changed"]) == {""}


def test_a_changed_setting_of_the_run_that_it_starts_from_is_named(study):
    old = next(study.glob("runs/c3d-ucf101.1-s0-*")).name
    new = f"{old.rpartition('-')[0]}-0123abcd"
    parents = [f"pretrain-c3d-pool.1-s0-{digits}" for digits in ("aaaaaaaa", "bbbbbbbb")]
    rename(study, old, new)
    for parent, run, steps in zip(parents, (old, new), (10, 20), strict=True):
        path = study / "runs" / run / "spec.json"
        write_json(path, {**read_json(path), "init": parent})
        write_json(study / "runs" / parent / "spec.json", {"run_name": parent, "recipe": {"steps": steps}})
    said = read_study(study).runs.set_index("run").loc[new, "settings_changed"]
    assert said == f"settings changed: init:recipe.steps 10 → 20 (finished: {old})"
