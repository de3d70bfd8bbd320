import pytest

from dynamonet.planning.profile import Profile
from dynamonet.planning.queue import queue_time

ON_SLURM = Profile(None, 100, "submitit", of_rule={"train": {"slurm_partition": "gpu"}})


@pytest.fixture
def says(tmp_path, monkeypatch):
    """Make a program print a text, or complain; first in the PATH."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def define(name: str, text: str = "", complaint: str = "") -> None:
        (tmp_path / f"{name}.txt").write_text(text)
        fails = f"echo {complaint!r} >&2; exit 1" if complaint else f"cat {tmp_path}/{name}.txt"
        (tmp_path / name).write_text(f'#!/bin/bash\necho "$*" >>{tmp_path}/{name}.calls\n{fails}\n')
        (tmp_path / name).chmod(0o755)

    return define


def test_what_slurm_tells_of_waiting(says, tmp_path):
    says("sinfo", "3/5/0/8\n1/1/0/2\n")
    says("squeue", "2030-01-02T03:04:05\nN/A\n2030-01-01T00:00:00\n")
    says("sacct", "2030-01-01T10:00:00|2030-01-01T10:10:00\n2030-01-01T10:00:00|2030-01-01T12:00:00\n"
         "2030-01-01T10:00:00|Unknown\n2030-01-01T10:00:00|2030-01-01T10:00:00\n")  # fmt: skip
    assert queue_time(ON_SLURM) == (
        "6 of 10 nodes are idle now; 3 jobs of yours wait, the last of those it has planned at 2030-01-02T03:04:05; "
        "3 jobs of yours of the last 14 days waited 10 min (median), 120 min at most"
    )
    assert all("--partition=gpu" in (tmp_path / f"{name}.calls").read_text() for name in ("sinfo", "squeue", "sacct"))


def test_a_slurm_that_does_not_tell_is_unknown(says):
    says("sinfo", complaint="slurm_load_partitions: Unable to contact slurm controller")
    says("squeue", "")
    says("sacct", complaint="Slurm accounting storage is disabled")
    said = queue_time(ON_SLURM)
    down, without = "slurm_load_partitions: Unable to contact slurm controller", "Slurm accounting storage is disabled"
    assert said == f"unknown ({down}); unknown ({without})"


def test_without_slurm_it_is_unknown_and_on_this_machine_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert queue_time(ON_SLURM) == "unknown, as there is no SLURM here"
    assert queue_time(Profile(None, 2)) == "none, as jobs run on this machine"
