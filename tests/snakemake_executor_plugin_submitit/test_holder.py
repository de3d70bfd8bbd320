import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from snakemake_executor_plugin_submitit.holder import FOLDER, Holder, announce_holders, holders, process_start

HOLDING = """
import time
from types import SimpleNamespace
from snakemake_executor_plugin_submitit.holder import hold

hold(SimpleNamespace(persistence=SimpleNamespace(_lockfile={"input": "locks/0.input.lock"})))
print("held", flush=True)
input()
"""


def workflow(mode: str = "DEFAULT") -> SimpleNamespace:
    return SimpleNamespace(exec_mode=SimpleNamespace(name=mode))


@pytest.fixture
def lock(tmp_path, monkeypatch) -> Path:
    """The lock file of the working folder that the test is in."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "locks" / "0.input.lock"
    path.parent.mkdir()
    path.touch()
    return path


@pytest.fixture
def process(lock):
    """Another process that works in this folder."""
    running = subprocess.Popen([sys.executable, "-c", HOLDING], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert running.stdout.readline() == b"held\n"
    yield running
    running.kill()
    running.communicate()


@pytest.fixture
def elsewhere(lock) -> Holder:
    """One that works here from another host."""
    FOLDER.mkdir(parents=True)
    holder = Holder("another-host", os.getpid(), 1.5, "ann", "2024-01-01 12:00:00", "snakemake all", [str(lock)])
    holder.path.write_text(json.dumps(asdict(holder)))
    return holder


def test_a_living_process_is_announced_with_the_way_to_end_it(process, lock, capsys):
    announce_holders(workflow())
    said = capsys.readouterr().err
    assert f"process {process.pid} of " in said
    assert f"kill -INT {process.pid}" in said
    assert lock.exists()


def test_the_lock_of_a_killed_process_is_cleared(process, lock, capsys):
    process.kill()
    process.wait()
    announce_holders(workflow())
    said = capsys.readouterr().err
    assert f"process {process.pid} of " in said
    assert "is gone: its lock is cleared" in said
    assert not lock.exists()
    assert holders() == []
    announce_holders(workflow())
    assert capsys.readouterr().err == ""


def test_a_killed_process_that_nobody_has_waited_for_is_gone(process, lock):
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    announce_holders(workflow())
    assert not lock.exists()


def test_a_later_process_with_the_same_number_is_another(process, lock, capsys):
    (holder,) = holders()
    earlier = replace(holder, started=holder.started - 1000)
    holder.path.write_text(json.dumps(asdict(earlier)))
    announce_holders(workflow())
    assert "is gone" in capsys.readouterr().err
    assert not lock.exists()


def test_a_clock_that_was_set_by_a_second_does_not_end_a_process(process, lock, capsys):
    # What Linux tells of a process is its age: the moment it began moves with the clock, by NTP for example.
    (holder,) = holders()
    holder.path.write_text(json.dumps(asdict(replace(holder, started=holder.started - 1))))
    announce_holders(workflow())
    assert "is gone" not in capsys.readouterr().err
    assert lock.exists()


def test_a_process_that_ends_takes_its_record_with_it(process):
    assert len(holders()) == 1
    process.communicate(b"\n")
    assert holders() == []
    assert list(FOLDER.iterdir()) == []


def test_the_lock_of_another_host_is_explained_and_left_alone(elsewhere, lock, capsys):
    announce_holders(workflow())
    said = capsys.readouterr().err
    assert "of ann on another-host, since 2024-01-01 12:00:00 (snakemake all)" in said
    assert "snakemake --unlock" in said
    assert lock.exists() and elsewhere.path.exists()


def test_another_host_is_forgotten_once_its_lock_is_gone(elsewhere, lock, capsys):
    lock.unlink()
    announce_holders(workflow())
    assert capsys.readouterr().err == ""
    assert not elsewhere.path.exists()


def test_a_job_says_nothing_and_clears_nothing(process, lock, capsys):
    process.kill()
    process.wait()
    announce_holders(workflow("REMOTE"))
    announce_holders(workflow("SUBPROCESS"))
    assert capsys.readouterr().err == ""
    assert lock.exists()


def test_a_folder_where_nobody_worked_says_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    announce_holders(workflow())
    assert capsys.readouterr().err == ""
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_does_not_exist_has_no_start():
    assert process_start(os.getpid()) is not None
    assert process_start(2**22 + 1) is None
