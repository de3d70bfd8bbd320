"""Each state that a run can be in, told by the files that stages and the executor leave."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from dynamonet.cli import main
from dynamonet.errors import UserError
from dynamonet.files import read_json, write_json
from dynamonet.status import FRESH_S, STATES, find_study, study_status
from snakemake_executor_plugin_submitit.registry import Registry

RUNS = tuple(f"slow_r50-ucf101.1-s{seed}-0123456{seed}" for seed in range(3))
SEARCH, UNTRAINED = "retrieve-slow_r50-ucf101.1-s0-abcdef00", RUNS[2]
LINE = {"step": 20, "steps": 60, "loss": 1.25, "train_top1": None}


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A study of three trainings and a search, of which nothing has been done."""
    monkeypatch.chdir(tmp_path)
    field = {"model": "slow", "dataset": "ucf101", "split": 1, "label_fraction": 1.0, "init": "scratch"}
    runs = [{"run": run, **field, "seed": seed} for seed, run in enumerate(RUNS)]
    plan = {
        "name": "small",
        "datasets": {"ucf101": {"title": "UCF101"}},
        "models": {"slow": {"title": "Slow"}},
        "experiments": {
            "main": {"task": "train", "tables": [], "runs": runs},
            "again": {"task": "train", "tables": [], "runs": runs[:1]},
            "search": {"task": "retrieve", "tables": [], "runs": [{**runs[0], "run": SEARCH}]},
        },
    }
    write_json(tmp_path / "results/small/study.json", plan)
    write_json(tmp_path / "results/small/manifests/ucf101.json", {"manifest_sha256": "aa"})
    return tmp_path


def finish(home: Path, run: str, *stages: str) -> None:
    for stage in stages:
        counts = {"listed": 4, "scored": 4, "queried": 4, "gallery_listed": 9, "gallery_used": 9}
        metrics = {"top1": 0.5, "mean_class_accuracy": 0.5}
        record = {"weights_sha256": "bb", "counts": counts, "metrics": metrics}
        provenance = {"manifest_sha256": "aa", "code": {}, "init": None}
        write_json(home / f"results/small/runs/{run}/{stage}.json", {**record, "provenance": provenance})


def write(path: Path, text: str, age_s: float = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (time.time() - age_s,) * 2)


def log_of(home: Path, run: str, stage: str) -> Path:
    return home / f"results/small/logs/{run}.{stage}.log"


def steps_of(home: Path, run: str) -> Path:
    return home / f"results/small/runs/{run}/log.jsonl"


def state(home: Path, run: str) -> tuple[str, str]:
    found = study_status(home / "results/small").experiments
    (one,) = {one.run: one for runs in found.values() for one in runs if one.run == run}.values()
    return one.state, one.note


def test_counts_are_by_experiment_and_each_run_once_in_the_totals(home):
    finish(home, RUNS[0], "fit", "evaluate")
    finish(home, RUNS[1], "fit")
    finish(home, SEARCH, "fit", "retrieve")
    status = study_status(home / "results/small")
    assert [one.state for one in status.experiments["main"]] == ["done", "missing", "missing"]
    assert [one.state for one in status.experiments["again"]] == ["done"]
    assert status.totals == {"done": 2, "missing": 2}
    assert state(home, RUNS[1]) == ("missing", "evaluate: fitted, not scored")
    assert state(home, UNTRAINED) == ("missing", "")


def test_a_stale_run_says_why(home):
    finish(home, RUNS[0], "fit", "evaluate")
    write_json(home / "results/small/manifests/ucf101.json", {"manifest_sha256": "cc"})
    assert state(home, RUNS[0]) == ("stale", "fitted on another manifest; evaluated on another manifest")


def test_a_missing_run_whose_settings_changed_says_how(home):
    old = f"{RUNS[2].rpartition('-')[0]}-ffffffff"
    finish(home, old, "fit", "evaluate")
    for run, rate in ((old, 0.1), (RUNS[2], 0.2)):
        write_json(home / f"results/small/runs/{run}/spec.json", {"run_name": run, "recipe": {"learning_rate": rate}})
    note = f"settings changed: recipe.learning_rate 0.1 → 0.2 (finished: {old})"
    assert state(home, RUNS[2]) == ("missing", note)


@pytest.mark.parametrize(
    ("age_s", "expected"),
    [
        (0, ("running", "train: step 20 of 60, loss 1.25")),
        (2 * FRESH_S, ("missing", "train: stopped at step 20 of 60, loss 1.25")),
    ],
)
def test_a_fit_shows_its_last_whole_step_and_counts_as_running_while_its_files_are_fresh(home, age_s, expected):
    line = json.dumps(LINE)
    write(steps_of(home, RUNS[0]), f"{line.replace('20', '10')}\n{line}\n{line[:9]}", age_s)
    assert state(home, RUNS[0]) == expected


def test_a_checkpoint_alone_shows_that_a_fit_is_running(home):
    write(steps_of(home, RUNS[0]), json.dumps(LINE) + "\n", 2 * FRESH_S)
    write(home / f"results/small/runs/{RUNS[0]}/checkpoints/latest.json", "[]")
    assert state(home, RUNS[0])[0] == "running"


def test_an_evaluation_shows_the_last_line_of_its_log(home):
    finish(home, RUNS[0], "fit")
    write(log_of(home, RUNS[0], "evaluate"), f"evaluate {RUNS[0]}: 3/4, 1 s left\n")
    assert state(home, RUNS[0]) == ("running", f"evaluate: evaluate {RUNS[0]}: 3/4, 1 s left")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("loading\nerror: the folder videos does not exist\n", "error: the folder videos does not exist"),
        ("Traceback (most recent call last):\n  File x\nRuntimeError: no\n", "RuntimeError: no"),
        ("a.b.VideoError: v_1 breaks\nmore\n", "a.b.VideoError: v_1 breaks"),
        ("slurmstepd: error: Detected 1 oom_kill event\n", "slurmstepd: error: Detected 1 oom_kill event"),
    ],
)
@pytest.mark.parametrize("age_s", [0, 2 * FRESH_S])
def test_a_failed_stage_shows_the_line_of_its_log_that_says_so(home, text, said, age_s):
    log = log_of(home, SEARCH, "fit")
    write(log, text, age_s)
    assert state(home, SEARCH) == ("failed", f"adopt: {said} ({log})")


def test_an_error_of_an_earlier_attempt_does_not_outlive_newer_steps(home):
    write(log_of(home, RUNS[0], "fit"), "error: the loss is nan\n", 60)
    write(steps_of(home, RUNS[0]), json.dumps(LINE) + "\n")
    assert state(home, RUNS[0])[0] == "running"


def test_a_stage_that_was_interrupted_has_not_failed(home):
    write(
        log_of(home, RUNS[0], "fit"), "x: stopped by SIGTERM at step 20 of 60; the same command goes on\n", 2 * FRESH_S
    )
    assert state(home, RUNS[0]) == ("missing", "")


def submit(home: Path, cluster: str, job_id: str, *names: str) -> None:
    registry = Registry(home / ".snakemake/submitit", holder="another")
    submission = registry.new("train", cluster, {str(number): name for number, name in enumerate(names)})
    submission.job_id = job_id
    registry.save(submission)


@pytest.fixture
def squeue(home, monkeypatch):
    """A function that sets what squeue answers: the states of the tasks of job array 12."""

    def answer(*lines: str) -> None:
        tool = home / "bin" / "squeue"
        write(tool, "#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines))
        tool.chmod(0o755)
        (home / "bin/sacct").symlink_to("/bin/true")
        monkeypatch.setenv("PATH", f"{home}/bin:{os.environ['PATH']}")

    return answer


def test_what_slurm_says_of_a_job_goes_before_the_age_of_files(home, squeue):
    submit(home, "slurm", "12", *(f"train {run}" for run in RUNS))
    squeue("12_0|RUNNING|None", "12_1|PENDING|Resources", "12_2|TIMEOUT|TimeLimit")
    write(steps_of(home, RUNS[0]), json.dumps(LINE) + "\n", 2 * FRESH_S)
    before = sorted((path, path.read_bytes()) for path in home.rglob("*.json"))
    found = {one.run: one for one in study_status(home / "results/small").experiments["main"]}
    assert [found[run].state for run in RUNS] == ["running", "queued", "failed"]
    assert [found[run].slurm for run in RUNS] == ["job 12_0 RUNNING", "job 12_1 PENDING", "job 12_2 TIMEOUT"]
    assert (found[RUNS[0]].step, found[RUNS[0]].loss) == (20, 1.25)
    assert found[RUNS[1]].note == "train: Resources"
    assert found[RUNS[2]].note.startswith("train: ended as TIMEOUT (")
    assert sorted((path, path.read_bytes()) for path in home.rglob("*.json")) == before


def test_without_an_answer_of_slurm_the_files_decide_and_it_is_said(home, monkeypatch, capsys):
    submit(home, "slurm", "12", f"train {RUNS[0]}")
    write(steps_of(home, RUNS[0]), json.dumps(LINE) + "\n")
    monkeypatch.setenv("PATH", str(home))
    assert state(home, RUNS[0])[0] == "running"
    assert main(["status"]) == 0
    assert "squeue: No such file" in capsys.readouterr().out


def test_a_job_of_this_machine_is_looked_for_among_its_processes(home):
    with subprocess.Popen(["sleep", "60"]) as other:  # a process, and none of submitit's
        submit(home, "local", str(other.pid), f"train {RUNS[0]}")
        found = state(home, RUNS[0])
        other.kill()
    assert found[0] == "failed"


def test_the_command_says_it_to_people_and_to_programs(home, capsys):
    finish(home, RUNS[0], "fit", "evaluate")
    write(log_of(home, RUNS[1], "fit"), "error: no [such] folder\n")
    assert main(["status"]) == 0
    said = capsys.readouterr().out
    assert "1 of 4 runs done" in said
    assert f"failed  {RUNS[1]}: train: error: no [such] folder" in said
    assert main(["status", "--spec", "results/small/study.json", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["totals"] == {**dict.fromkeys(STATES, 0), "done": 1, "failed": 1, "missing": 2}
    assert not (home / ".snakemake").exists()


def test_which_study_is_meant_must_be_said_where_there_is_not_one(home):
    assert find_study() == Path("results/small/study.json")
    write_json(home / "results/other/study.json", read_json(find_study()))
    with pytest.raises(UserError, match=r"--spec .*other.*small"):
        find_study()
    with pytest.raises(UserError, match="none under elsewhere"):
        find_study(Path("elsewhere"))


def test_each_record_is_read_once(home, monkeypatch):
    plan = read_json(home / "results/small/study.json")
    plan["experiments"]["main"]["runs"] = [
        {**plan["experiments"]["main"]["runs"][0], "run": f"slow-ucf101.1-s{seed}-0123abcd", "seed": seed}
        for seed in range(40)
    ]
    write_json(home / "results/small/study.json", plan)
    reads = []
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: reads.append(path) or read(path))
    for run in plan["experiments"]["main"]["runs"]:
        finish(home, run["run"], "fit", "evaluate")
    study_status(home / "results/small")
    assert len(reads) == len(set(reads)) == 2 * 40 + 2
