import os
import subprocess
import sys
from pathlib import Path

import pytest

from snakemake_executor_plugin_submitit.launch import CPUS_PER_TASK, NODES, TASKS_PER_NODE, launcher

PROGRAMS = Path(sys.executable).parent


@pytest.fixture
def launch(tmp_path):
    """Run submitit-launch in a job of some size, on this machine."""

    def run(*command: str, tasks: int = 1, path: str | None = None) -> subprocess.CompletedProcess:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SUBMITIT_"))},
            "PATH": path or f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
            "SUBMITIT_EXECUTOR": "local",
            NODES: "1",
            TASKS_PER_NODE: str(tasks),
        }
        return subprocess.run(
            [PROGRAMS / "submitit-launch", *command], cwd=tmp_path, env=environment, capture_output=True, text=True
        )

    return run


@pytest.mark.parametrize("executor", ["slurm", "local"])
def test_one_task_needs_no_launcher(executor):
    assert launcher({"SUBMITIT_EXECUTOR": executor, NODES: "1", TASKS_PER_NODE: "1"}) == []


def test_outside_a_job_the_command_is_itself():
    assert launcher({}) == []


def test_on_slurm_the_tasks_are_steps_of_srun():
    found = launcher({"SUBMITIT_EXECUTOR": "slurm", NODES: "2", TASKS_PER_NODE: "4", CPUS_PER_TASK: "6"})
    assert found[0] == "srun"
    assert {"--overlap", "--nodes=2", "--ntasks-per-node=4", "--ntasks=8", "--cpus-per-task=6"} <= set(found)


def test_one_task_on_each_of_several_nodes_is_launched():
    found = launcher({"SUBMITIT_EXECUTOR": "slurm", NODES: "2", TASKS_PER_NODE: "1", CPUS_PER_TASK: "6"})
    assert {"--nodes=2", "--ntasks=2"} <= set(found)


@pytest.mark.parametrize("executor", ["local", "debug"])
def test_on_one_machine_the_tasks_are_of_torchrun(executor):
    found = launcher({"SUBMITIT_EXECUTOR": executor, NODES: "1", TASKS_PER_NODE: "2"})
    assert found == [
        "torchrun",
        "--standalone",
        "--nproc-per-node=2",
        "--signals-to-handle=SIGTERM,SIGINT,SIGUSR2",
        "--no-python",
    ]


def test_the_command_has_its_arguments_and_its_exit_code(launch):
    done = launch("bash", "-c", 'echo "$1"; exit 3', "name", "two words")
    assert (done.stdout, done.returncode) == ("two words\n", 3)


def test_without_a_command_the_usage_is_said(launch):
    done = launch()
    assert done.returncode != 0
    assert done.stderr == "usage: submitit-launch COMMAND [ARGUMENT ...]\n"


def test_a_launcher_that_is_missing_is_named(launch, tmp_path):
    done = launch("true", tasks=2, path=str(tmp_path))
    assert done.returncode != 0
    assert done.stderr == "submitit-launch: there is no program 'torchrun' on the PATH\n"


def test_two_tasks_on_one_machine_are_two_ranks(launch, tmp_path):
    program = "import os; open('rank' + os.environ['RANK'], 'w').write(os.environ['WORLD_SIZE'])"
    done = launch(sys.executable, "-c", program, tasks=2)
    assert done.returncode == 0, done.stderr
    assert {path.name: path.read_text() for path in tmp_path.glob("rank*")} == {"rank0": "2", "rank1": "2"}
