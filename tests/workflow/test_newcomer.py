"""What a newcomer reaches by the documents' commands: the demo, a changed ablation, a dry run of the paper's study.

A new baseline is in test_new_baseline.py, a folder of one's own clips in test_folder_study.py. tests/test_docs.py has
the list of all commands.
"""

import re
import shutil

import pytest
import yaml
from documented_commands import copy_checkout, run_documented, succeed
from short_demo import demo, results, shortened
from tiny_study import ROOT

from dynamonet.expansion import expand
from dynamonet.planning.profile import read_profile
from dynamonet.study import load_study


def block(document: str, language: str) -> str:
    """The first block of code of a language in a document."""
    return re.search(rf"^```{language}\n(.*?)^```", (ROOT / document).read_text(), re.DOTALL | re.MULTILINE).group(1)


def jobs(said: str) -> set[str]:
    """The jobs that Snakemake has listed or done: stage and what it is about."""
    return set(re.findall(r"^(?:\[.*\] )?((?:prepare|pretrain|train|evaluate|measure) \S+)", said, re.MULTILINE))


def test_the_demo_is_asked_about_and_gets_another_ablation(finished_demo):
    checkout, made = finished_demo, finished_demo / "as-made"
    page = re.search(r"Done: open (\S+);", (made / "said").read_text()).group(1)
    assert "DynamoNet" in (checkout / page).read_text()
    old = expand(load_study(shortened(demo()))).runs
    run = next(name for name, spec in old.items() if name.startswith("dynamonet-ucf101.2-s0") and spec.init is None)

    assert f"demo: {len(old)} of {len(old)} runs done" in succeed(checkout, "dynamonet status")
    said = succeed(checkout, "dynamonet explain results/demo/runs/RUN", {"RUN": run})
    assert f"{run} and today: identical" in said, said
    weights = checkout / f"results/demo/runs/{run}/model.safetensors"
    before = weights.read_bytes()
    weights.unlink()
    succeed(checkout, "dynamonet train --spec results/demo/runs/RUN/spec.json", {"RUN": run})
    assert weights.read_bytes() == before
    shutil.rmtree(checkout / "results/demo/tables")
    succeed(checkout, "snakemake report")
    assert results(checkout) == results(made)

    changed, change = demo(), yaml.safe_load(block("docs/adding-an-ablation.md", "yaml"))
    for key, entries in change.items():
        changed[key] |= entries
    changed = shortened(changed)
    (checkout / "config/demo.yaml").write_text(yaml.safe_dump(changed))
    new = expand(load_study(changed)).runs.keys() - old.keys()
    assert sorted(name.partition("-ucf101")[0] for name in new) == ["dynamonet", "filters_7"]
    wanted = {"measure filters_7", *(f"{stage} {name}" for stage in ("train", "evaluate") for name in new)}
    assert jobs(succeed(checkout, "snakemake all -n")) == wanted
    assert jobs(succeed(checkout, "snakemake all")) == wanted
    rows = (checkout / "results/demo/tables/ablation.md").read_text()
    assert "filters 7 x 7" in rows and "strong" in rows, rows
    assert "Nothing to be done" in succeed(checkout, "snakemake ablation")


@pytest.fixture
def checkout(tmp_path):
    return copy_checkout(tmp_path / "checkout")


def test_the_papers_study_is_planned_once_five_lines_are_edited(checkout, motion_home, tmp_path):
    videos = next((motion_home / "data").glob("motion-*/complete.json")).parent
    (tmp_path / "copies").mkdir()
    edited = {"gpu": "a100", "my_lab": "vision", "/data/copies": str(tmp_path / "copies")}
    edited |= {f"/data/{name}": str(videos / name) for name in ("kinetics400", "ucf101", "hmdb51")}
    lines = block("README.md", "yaml").splitlines()
    assert len(lines) == 5 and set(lines) < set(block("docs/slurm.md", "yaml").splitlines())
    for line in lines:
        name = "slurm/profile.yaml" if "slurm_" in line else "config/paper.yaml"
        there, text = line.replace("slurm_", "# slurm_"), (checkout / name).read_text()
        assert text.count(f"\n{there}\n") == 1, f"{name} has no line {there!r}"
        for old in [old for old in edited if old in line]:
            line = line.replace(old, edited.pop(old))
        (checkout / name).write_text(text.replace(f"\n{there}\n", f"\n{line}\n"))
    assert not edited
    study = checkout / "config/paper.yaml"
    asked = read_profile(str(checkout / "slurm"), study, threads=1).resources("train")
    assert (asked["slurm_partition"], asked["slurm_account"]) == ("a100", "vision")

    planned = jobs(succeed(checkout, "snakemake --profile slurm -n all"))
    assert {"prepare kinetics400", "measure dynamonet"} < planned
    assert {name.rpartition("-")[0] for name in planned} > {"pretrain pretrain-dynamonet-kinetics400.1-s0"}
    ablation = jobs(succeed(checkout, "snakemake --profile slurm ablation", added="-n"))
    assert {name for name in ablation if name.startswith("train dynamonet-ucf101")} and ablation < planned
    experiment = {"EXPERIMENT": "pretraining"}
    assert jobs(succeed(checkout, "snakemake --profile slurm EXPERIMENT", experiment, added="-n")) < planned
    released = "snakemake --profile slurm all --configfile config/released.yaml --config root=/data/kinetics400"
    said = succeed(checkout, released, {"/data/kinetics400": str(videos / "kinetics400")}, added="-n")
    assert len([job for job in jobs(said) if job.startswith("evaluate ")]) == 25
    assert "train" not in {job.split()[0] for job in jobs(said)}

    # Models are counted for a plan, which the whole study's take a minute for.
    content = yaml.safe_load(study.read_text())
    content["models"] = {"dynamonet": content["models"]["dynamonet"]}
    kept = ("pretraining", "pretraining_tenth", "label_efficiency")
    content |= {"experiments": {name: content["experiments"][name] for name in kept}, "claims": {}}
    study.write_text(yaml.safe_dump(content))
    # A few clips are no Kinetics-400, and there may be no SLURM here: not all is well.
    said = run_documented(checkout, "dynamonet doctor --study config/paper.yaml")
    assert said.returncode in (0, 1) and not said.stderr, said.stderr
    for found in ("ok      environment", "slurm", "kinetics400:", "ucf101:", "hmdb51:", "disk"):
        assert found in said.stdout, said.stdout
    said = succeed(checkout, "dynamonet plan --study config/paper.yaml")
    for experiment in kept:
        assert f" {experiment} " in said, said
    assert "(profile slurm/profile.yaml)" in said


def test_other_studies_are_planned(checkout, motion_home, tmp_path):
    # What `make` gives Snakemake is left as it is: that it lists its jobs only is in the user's profile.
    (tmp_path / "config.yaml").write_text("dry-run: true\n")
    dry = {"SNAKEMAKE_PROFILE": str(tmp_path)}
    embedded = succeed(checkout, "make embedded", **dry)
    assert "Done: open results/embedded/report.html" in embedded
    assert jobs(succeed(checkout, "snakemake all --configfile config/embedded.yaml", **dry)) == jobs(embedded)
    assert len([job for job in jobs(embedded) if job.startswith("measure ")]) == 11
    zoo = jobs(succeed(checkout, "snakemake all --configfile config/zoo.yaml", **dry))
    assert {"measure swin3d_b", "measure r3d_18"} < zoo
    own = "snakemake all --configfile config/folder.yaml --config root=PATH name=NAME"
    said = succeed(checkout, own, {"PATH": str(motion_home), "NAME": "own"}, **dry)
    assert "prepare clips" in jobs(said) and not (checkout / "results/own").exists()
    on_slurm = (
        "snakemake --executor submitit --jobs 100 --default-resources slurm_partition=gpu runtime=60 mem_mb=16000"
    )
    assert {"measure dynamonet", "prepare pool"} < jobs(succeed(checkout, on_slurm, **dry))


def test_a_data_set_is_prepared_for_its_flow(checkout, motion_home, tiny, tmp_path):
    (checkout / "data").symlink_to(motion_home / "data")
    succeed(checkout, "mkdir -p /data/ucf101-flow", {"/data": str(tmp_path)})
    tiny["datasets"]["ucf101"]["flow_root"] = str(tmp_path / "ucf101-flow")
    (checkout / "study.yaml").write_text(yaml.safe_dump(tiny))
    command = "snakemake results/STUDY/manifests/ucf101.parquet specs --configfile FILE"
    said = succeed(checkout, command, {"STUDY": "tiny", "FILE": "study.yaml"})
    assert jobs(said) == {"prepare ucf101"}
    flow = checkout / "results/tiny/flow/ucf101.spec.json"
    assert str(tmp_path / "ucf101-flow") in flow.read_text()


def test_make_runs_the_tests(checkout):
    said = succeed(checkout, "make test", PYTEST_ADDOPTS="tests/test_files.py")
    assert re.search(r"\d+ passed", said) and "2 workers" in said, said
