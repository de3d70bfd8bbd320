"""Studies through `--profile slurm` on a real SLURM: the same numbers, whatever happens to their jobs."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml
from short_demo import results
from tiny_study import ROOT, TINY

DEMO_SIZED = (
    "--default-resources", "runtime=30", "mem_mb=3000", "cpus_per_task=1",
    "--set-resources", *(f"{rule}:gpu=1" for rule in ("pretrain", "train", "evaluate", "measure")),
)  # fmt: skip
STEPS = 2400


def through_slurm(flow, study: dict, *arguments: str, targets=("all",)) -> subprocess.Popen:
    """Start a study as a user does, with resources that the test cluster has."""
    (flow.folder / "slurm").symlink_to(ROOT / "slurm")
    (flow.folder / "study.yaml").write_text(yaml.safe_dump(study))
    always = ("--profile", "slurm", "--snakefile", str(ROOT / "Snakefile"), "--configfile", "study.yaml", *DEMO_SIZED)
    return flow.start(*targets, always=(*always, "--seconds-between-status-checks", "1", *arguments))


def test_the_demo_gives_the_same_tables_on_slurm_as_here(flow, finished_demo, short_demo):
    said = flow.wait(through_slurm(flow, {**short_demo, "trackers": []}), timeout_s=1500)
    assert flow.code == 0, said
    here = results(finished_demo / "as-made")
    assert here
    assert results(flow.folder) == here
    assert not list(flow.folder.glob("results/demo/runs/*/tensorboard"))  # it says what is drawn, and changes nothing
    names = {name.split()[0] for _, _, name in flow.queue("--states=all")}
    assert names == {"pretrain", "train", "evaluate", "measure"}
    record = json.loads(next(flow.folder.glob("results/demo/runs/*/fit.json")).read_text())
    assert record["provenance"]["slurm_job_id"]


@pytest.fixture(scope="module")
def study() -> dict:
    """One training of a little over a minute."""
    return {
        **TINY,
        "recipes": {"short": {**TINY["recipes"]["short"], "steps": STEPS, "log_every": 100, "checkpoint_every": 250}},
        "models": {"backbone": {**TINY["models"]["backbone"], "init_from": None}},
        "datasets": {"kinetics400": TINY["datasets"]["kinetics400"]},
        "experiments": {"kinetics400": {**TINY["experiments"]["kinetics400"], "models": ["backbone"]}},
        "claims": {},
    }


def target(study: dict) -> str:
    from dynamonet.expansion import expand
    from dynamonet.study import load_study

    (run,) = expand(load_study(study)).runs
    return f"results/tiny/runs/{run}/model.safetensors"


@pytest.fixture(scope="module")
def undisturbed(study, tmp_path_factory) -> bytes:
    """The weights of that training when nothing happens to it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    command = ["snakemake", target(study), "--snakefile", ROOT / "Snakefile", "--configfile", "study.yaml"]
    environment = {**os.environ, "PATH": f"{ROOT / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run([*command, "--cores", "1"], cwd=folder, env=environment, check=True, capture_output=True)
    return (folder / target(study)).read_bytes()


def restarts(flow, study: dict) -> list[dict]:
    record = json.loads((flow.folder / target(study)).with_name("fit.json").read_text())
    assert record["provenance"]["restarts"] == len(record["provenance"]["attempts"]) - 1 > 0
    return record["provenance"]["attempts"]


def test_a_training_longer_than_its_time_limit_ends_with_the_same_weights(flow, study, undisturbed):
    # SLURM looks at limits every 30 s and is early: the signal comes 10 to 40 s after the start.
    process = through_slurm(
        flow, study, "--default-resources", "runtime=1", "mem_mb=3000", "--submitit-grace-s", "20",
        "--submitit-patience", "10", targets=(target(study),),
    )  # fmt: skip
    attempts = Path(target(study)).with_name("checkpoints") / "attempts.jsonl"
    flow.until(lambda: any('"stop"' in line for line in flow.lines(attempts)), "training to be stopped")
    # Stopped once, it may take its time: on a slow machine many a minute would be needed.
    ((job, _, _),) = flow.queue()
    flow.cluster.run("scontrol", "update", f"JobId={job}", "TimeLimit=60")
    said = flow.wait(process, timeout_s=900)
    assert flow.code == 0, said
    assert (flow.folder / target(study)).read_bytes() == undisturbed
    attempts = restarts(flow, study)
    assert {attempt["stopped_by"] for attempt in attempts[:-1]} == {"SIGUSR2"}
    assert [attempt["from_step"] for attempt in attempts[1:]] == [attempt["to_step"] for attempt in attempts[:-1]]


def test_a_preempted_training_ends_with_the_same_weights(flow, study, undisturbed):
    process = through_slurm(flow, study, targets=(target(study),))
    flow.until(lambda: list(flow.folder.glob("results/tiny/runs/*/checkpoints/latest.json")), "a checkpoint")
    other = flow.cluster.run(
        "sbatch", "--parsable", "--partition=high", f"--nodes={flow.cluster.nodes}", "--exclusive",
        "--output=/dev/null", "--chdir=/", "--wrap=srun sleep 3",
    ).strip()  # fmt: skip
    said = flow.wait(process, timeout_s=900)
    assert flow.code == 0, said
    assert (flow.folder / target(study)).read_bytes() == undisturbed
    assert restarts(flow, study)
    assert "COMPLETED" in flow.cluster.run("squeue", "--noheader", "--states=all", f"--jobs={other}", "--format=%T")


def test_a_training_on_two_nodes_is_one_training_and_goes_on_after_a_signal(flow, study):
    several = ("train:tasks=2", "train:nodes=2", "train:gpu=2")
    recipes = {"short": {**study["recipes"]["short"], "steps": 400, "log_every": 20}}
    study = {**study, "recipes": recipes}
    process = through_slurm(flow, study, "--set-resources", *several, targets=(target(study),))
    log = "results/tiny/runs/*/log.jsonl"
    flow.until(lambda: any(path.read_text() for path in flow.folder.glob(log)), "the first line of the log")
    ((job, _, _),) = flow.queue("--states=running")
    flow.cluster.run("scancel", "--signal=USR2", job)
    said = flow.wait(process, timeout_s=900)
    assert flow.code == 0, said
    assert "goes on where it had saved" in said
    assert [attempt["stopped_by"] for attempt in restarts(flow, study)] == ["SIGUSR2", None]
    record = json.loads((flow.folder / target(study)).with_name("fit.json").read_text())
    assert record["provenance"]["world_size"] == 2
