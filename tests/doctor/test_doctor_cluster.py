"""The doctor on SLURM: absent, odd and real."""

import os

import pytest

from dynamonet.doctor.cluster import PROGRAMS, check_cluster
from dynamonet.doctor.finding import OK, PROBLEM, WARNING
from dynamonet.planning.profile import Profile
from dynamonet.planning.queue import queue_time

TRAIN = {"gpu": 1, "cpus_per_task": 2, "mem_mb": 1000, "runtime": 60}
PARTITION = "PartitionName=gpu Default=YES MaxNodes=UNLIMITED MaxTime=1-00:00:00 State=UP TotalNodes=1"
NODE = "NodeName=g1 CPUTot=64 Gres=gpu:a100:4 RealMemory=512000 State=IDLE Partitions=gpu"
CONFIGURATION = "JobRequeue = 0\nAccountingStorageType   = accounting_storage/slurmdbd\nSLURM_VERSION = 23.11.4"


def profile(tmp_path, executor="submitit", **train) -> Profile:
    defaults = {"runtime": 60, "mem_mb": 1000, "cpus_per_task": 1}
    return Profile(tmp_path / "profile.yaml", 100, executor, defaults, {"train": {**TRAIN, **train}})


def says(findings, state: str) -> str:
    return " | ".join(f"{one.says} -> {one.mend}" for one in findings if one.state == state)


@pytest.fixture
def cluster(program):
    """Programs that answer as a cluster's do; `cluster(configuration=...)` has them say something else."""

    def define(configuration=CONFIGURATION):
        for name in PROGRAMS:
            program(name, "exit 0")
        program("sacctmgr", "echo lab; echo other")
        answers = {"partition": PARTITION, "node": NODE, "config": configuration}
        program(
            "scontrol", "\n".join(f'case "$*" in *{asked}) echo "{text}";; esac' for asked, text in answers.items())
        )

    define()
    return define


def test_without_slurm_it_is_a_problem_only_for_a_profile_that_asks_for_it(program, tmp_path):
    program.alone()
    assert not says(check_cluster(None), PROBLEM)
    assert not says(check_cluster(profile(tmp_path, executor="local")), PROBLEM)
    assert "asks for SLURM, without sbatch, srun" in says(check_cluster(profile(tmp_path)), PROBLEM)


def test_what_fits_is_well(cluster, tmp_path):
    found = list(check_cluster(profile(tmp_path, slurm_account="lab")))
    assert {one.state for one in found} == {OK}
    assert "SLURM 23.11.4 requeues jobs where a job asks for it, as ours do" in says(found, OK)


@pytest.mark.parametrize(
    ("train", "problem"),
    [
        ({"slurm_partition": "fast"}, "rule train: there is no partition 'fast'"),
        ({"runtime": 2880}, "rule train: runtime=2880 min is over the 1440 min of partition 'gpu'"),
        ({"gpu": 8, "tasks": 8}, "rule train: 8 GPUs on a node are asked for"),
        ({"slurm_account": "others"}, "slurm_account others is none of yours: lab, other"),
        ({"gpu": "two"}, "rule train: the resource gpu must be a whole number"),
    ],
)
def test_what_cannot_be_met_is_a_problem_of_the_profile(cluster, tmp_path, train, problem):
    said = says(check_cluster(profile(tmp_path, **train)), PROBLEM)
    assert said.startswith(problem)
    assert f"edit {tmp_path}/profile.yaml" in said


@pytest.mark.parametrize(
    ("train", "warning"),
    [
        ({"slurm_extra": "--no-requeue"}, "--no-requeue ends what reaches its time limit"),
        ({"gpu": 4}, "4 GPUs and 1 processes, each of which uses one GPU"),
    ],
)
def test_what_is_odd_is_a_warning(cluster, tmp_path, train, warning):
    assert warning in says(check_cluster(profile(tmp_path, **train)), WARNING)


def test_a_cluster_without_accounting_forgets(cluster, tmp_path):
    cluster(configuration="JobRequeue = 1\nAccountingStorageType = accounting_storage/none\nMinJobAge = 300 sec")
    found = list(check_cluster(profile(tmp_path)))
    assert "an ended job is forgotten after 300 sec" in says(found, WARNING)


def test_a_controller_that_is_down_is_a_problem(cluster, program, tmp_path):
    program("scontrol", "echo 'slurm_load_partitions: Unable to contact slurm controller' >&2; exit 1")
    assert "SLURM does not answer" in says(check_cluster(profile(tmp_path)), PROBLEM)


def test_accounts_that_are_not_known_are_not_judged(cluster, program, tmp_path):
    program("sacctmgr", "echo 'You are not running a supported accounting_storage plugin' >&2; exit 1")
    assert not says(check_cluster(profile(tmp_path, slurm_account="lab")), PROBLEM)


def test_a_real_slurm(slurm, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", slurm.env["SLURM_CONF"])
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:/usr/sbin:/sbin")
    well = list(check_cluster(profile(tmp_path)))
    assert {one.state for one in well} == {OK}
    assert "by default" in says(well, OK)
    assert queue_time(profile(tmp_path, slurm_partition="gpu")).startswith("4 of 4 nodes are idle now; ")
    for train, problem in (
        ({"slurm_partition": "brief"}, "runtime=60 min is over the 10 min of partition 'brief'"),
        ({"gpu": 3, "tasks": 3}, "3 GPUs on a node are asked for"),
    ):
        assert problem in says(check_cluster(profile(tmp_path, **train)), PROBLEM)
