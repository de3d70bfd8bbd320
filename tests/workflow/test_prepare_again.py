"""A data set whose lists or files have changed is prepared again by itself; nothing is trained for it."""

import os
import re
import shutil

import pytest
import yaml

from dynamonet.engine.evaluate import evaluate
from dynamonet.engine.fit import fit
from dynamonet.expansion import expand
from dynamonet.files import read_json
from dynamonet.report.collect import read_study
from dynamonet.report.tables import accuracy_table
from dynamonet.spec_files import write_specs
from dynamonet.study import load_study


@pytest.fixture
def study(tiny, motion_home, tmp_path, monkeypatch):
    """One run, on a copy of the embedded UCF101 in a folder of the user's, and beside it a data set without a run."""
    monkeypatch.chdir(tmp_path)
    home = motion_home / load_study(tiny).motion_root
    for name in ("ucf101", "pool"):
        shutil.copytree(home / name, tmp_path / name)
        tiny["datasets"][name] = {"layout": tiny["datasets"][name]["layout"], "root": str(tmp_path / name)}
    del tiny["motion"], tiny["datasets"]["kinetics400"]
    tiny["models"] = {"backbone": {**tiny["models"]["backbone"], "init_from": None}}
    tiny["experiments"] = {"ucf101": {**tiny["experiments"]["ucf101"], "models": ["backbone"], "init": ["scratch"]}}
    tiny["claims"] = {}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tiny))
    return load_study(tiny)


def jobs(done) -> list[str]:
    """Those that Snakemake has done or, with -n, would do."""
    assert done.returncode == 0, done.stderr
    return re.findall(r"^(?:\[.*\] )?((?:check_videos|prepare|train|evaluate) \S+)", done.stderr, re.MULTILINE)


def test_a_changed_list_is_prepared_again_and_its_runs_become_stale(snakemake, study, tmp_path):
    def run(*arguments: str) -> list[str]:
        return jobs(snakemake("all", "--configfile", "study.yaml", *arguments))

    until_scores = ("--until", "prepare", "evaluate")  # without measuring, which takes time
    expansion = expand(study)
    write_specs(study, expansion)
    assert set(run("--cores", "2", "--until", "prepare")) == {"prepare ucf101", "prepare pool"}
    (folder,) = (study.directory / "runs" / name for name in expansion.runs)
    fit(folder / "spec.json")
    evaluate(folder / "spec.json")
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    (names,) = (tmp_path / "ucf101").glob("**/trainlist01.txt")
    os.utime(names, (2_000_000_000, 2_000_000_000))
    assert run("-n", *until_scores) == []

    names.write_text("".join(names.read_text().splitlines(keepends=True)[1:]))
    assert run("--cores", "1", *until_scores) == ["prepare ucf101"]
    assert read_json(study.directory / "manifests/ucf101.json")["counts"]["looked_at"] == 0
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    records = read_study(study.directory)
    assert records.runs["stale"].tolist() == ["fitted on another manifest; evaluated on another manifest"]
    (top1,) = accuracy_table(records).flat["ucf101: top-1 % (n)"]
    assert "†" in top1

    shutil.copy(next((tmp_path / "pool").glob("**/*.mp4")), tmp_path / "pool/another.mp4")
    assert run("-n", *until_scores) == ["prepare pool"]
