import pytest
import yaml
from tiny_study import ROOT

from dynamonet.errors import UserError
from dynamonet.planning.profile import read_profile


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_the_shipped_profile_is_that_of_the_study_that_it_names():
    profile = read_profile(None, "config/paper.yaml", threads=1)
    shipped = yaml.safe_load((ROOT / "slurm/profile.yaml").read_text())
    assert (profile.name, profile.jobs, profile.is_slurm) == ("slurm/profile.yaml", shipped["jobs"], True)
    assert profile.resources("train")["runtime"] == shipped["set-resources"]["train"]["runtime"]
    assert profile.resources("report") == shipped["default-resources"]
    assert (profile.processes("train"), profile.devices("train"), profile.devices("prepare")) == (1, 1, 1)


def test_every_stage_that_computes_on_the_cluster_gets_a_gpu():
    profile = read_profile("slurm", "config/paper.yaml", threads=1)
    for rule in ("pretrain", "train", "evaluate", "retrieve", "measure"):
        assert profile.number(rule, "gpu", 0) == 1, rule


def test_another_study_runs_here_unless_it_is_told_otherwise(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)), raising=False)
    profile = read_profile(None, "config/demo.yaml", threads=2)
    assert (profile.name, profile.jobs, profile.is_slurm, profile.devices("train")) == ("none", 4, False, 1)
    assert read_profile("slurm", "config/demo.yaml", threads=2).is_slurm


def test_gpus_and_processes_of_a_rule(tmp_path):
    (tmp_path / "config.yaml").write_text("jobs: 3\nset-resources: {train: {gpu: 8, tasks: 8}, evaluate: {nodes: 2}}\n")
    profile = read_profile(str(tmp_path), "config/demo.yaml", threads=1)
    assert (profile.devices("train"), profile.processes("train")) == (8, 8)
    assert (profile.devices("evaluate"), profile.devices("measure")) == (2, 1)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [("jobs: many", "jobs is 'many'"), ("jobs: 1\nset-resources: [train:gpu=1]", "write set-resources as a mapping")],
)
def test_a_profile_that_is_none_is_refused(tmp_path, content, complaint):
    (tmp_path / "profile.yaml").write_text(content)
    with pytest.raises(UserError, match=complaint):
        read_profile(str(tmp_path), "config/demo.yaml", threads=1)


def test_a_profile_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match="is not there: name a folder with a "):
        read_profile(str(tmp_path / "x"), "config/demo.yaml", threads=1)


def test_a_resource_that_is_no_number_is_refused(tmp_path):
    (tmp_path / "profile.yaml").write_text("jobs: 1\nset-resources: {train: {gpu: two}}")
    with pytest.raises(UserError, match="gpu of rule train is 'two': give a whole number"):
        read_profile(str(tmp_path), "config/demo.yaml", threads=1).devices("train")
