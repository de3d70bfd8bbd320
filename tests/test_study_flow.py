"""Studies with stored optical flow."""

import re

import pytest
import yaml
from tiny_study import CLIP, OPTIONS, ROOT

from dynamonet.errors import UserError
from dynamonet.expansion import expand
from dynamonet.files import read_json
from dynamonet.spec_files import dataset_spec, spec_paths, write_specs
from dynamonet.study import check_roots, load_study
from dynamonet.workflow import flow_specs


def test_the_documented_models_and_data_set_make_a_study(tiny):
    shown = re.search(r"```yaml\n(.*?)```", (ROOT / "docs/two-stream.md").read_text(), re.DOTALL).group(1)
    for key, content in yaml.safe_load(shown).items():
        tiny[key] |= content
    tiny["datasets"]["ucf101"]["splits"] = [1, 2, 3]
    tiny["experiments"]["ucf101"] |= {"models": ["computed", "stored"], "init": ["scratch"]}
    assert {spec.build for spec in expand(load_study(tiny)).runs.values()} > {"two_stream_raft", "two_stream_stored"}


@pytest.fixture
def with_flow(tiny):
    tiny["datasets"]["kinetics400"]["flow_root"] = "{root}/flow"
    tiny["root"] = "/videos"
    tiny["models"]["two_stream"] = {"build": "two_stream_stored", "options": OPTIONS, "clip": CLIP}
    tiny["experiments"]["kinetics400"]["models"].append("two_stream")
    return tiny


def test_stored_flow_is_asked_for_before_any_job(with_flow):
    del with_flow["datasets"]["kinetics400"]["flow_root"]
    with pytest.raises(
        UserError, match=r"experiments\.kinetics400\.models: two_stream .* datasets\.kinetics400 has no flow_root"
    ):
        load_study(with_flow)


def test_flow_that_is_computed_needs_no_folder(with_flow):
    del with_flow["datasets"]["kinetics400"]["flow_root"]
    with_flow["models"]["two_stream"]["build"] = "two_stream_raft"
    assert any(spec.build == "two_stream_raft" for spec in expand(load_study(with_flow)).runs.values())


def test_a_missing_flow_folder_is_named(with_flow, tmp_path):
    for name, dataset in with_flow["datasets"].items():
        (tmp_path / name).mkdir()
        dataset["root"] = str(tmp_path / name)
    with_flow["root"] = str(tmp_path)
    with pytest.raises(UserError, match=rf"datasets\.kinetics400\.flow_root: the folder {tmp_path}/flow does not"):
        check_roots(load_study(with_flow))
    (tmp_path / "flow").mkdir()
    check_roots(load_study(with_flow))


def test_the_folder_is_written_down_for_the_stages_that_read_it_and_only_for_them(with_flow, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = load_study(with_flow)
    expansion = expand(study)
    write_specs(study, expansion)
    written = {path.relative_to(tmp_path) for path in (tmp_path / "results").rglob("*") if path.is_file()}
    assert written == set(spec_paths(study, expansion))
    for run, spec in expansion.runs.items():
        read = flow_specs(study, expansion, run)
        assert len(read) == (spec.model == "two_stream")
        assert all(read_json(path) == {"dataset": "kinetics400", "flow_root": "/videos/flow"} for path in read)


def test_where_flow_lies_changes_neither_runs_nor_manifests(with_flow):
    study = load_study(with_flow)
    with_flow["datasets"]["kinetics400"]["flow_root"] = "/elsewhere"
    moved = load_study(with_flow)
    assert expand(moved).runs == expand(study).runs
    assert dataset_spec(moved, "kinetics400") == dataset_spec(study, "kinetics400")
