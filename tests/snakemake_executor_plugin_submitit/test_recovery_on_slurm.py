"""The executor on a real SLURM: processes, daemons and nodes that are really killed."""

import os
import shutil
import signal
import time

from slurm_workflow import HELD


def ends_with_each_job_run_once(flow, process):
    said = flow.wait(process)
    assert flow.code == 0, said
    assert flow.starts() == [1, 1, 1, 1]


def test_a_killed_snakemake_finds_its_jobs_again(flow):
    flow.write(HELD)
    first = flow.start("all")
    flow.begun()
    first.kill()
    first.wait()
    second = flow.start("all")
    flow.says(second, "found again as job", times=4)
    flow.release()
    said = flow.wait(second)
    assert flow.code == 0, said
    assert f"process {first.pid} of" in said
    assert "is gone: its lock is cleared" in said
    assert said.count("found again as job") == 4
    assert flow.starts() == [1, 1, 1, 1]


def test_jobs_that_end_while_nobody_watches_are_not_run_again(flow):
    flow.write(HELD)
    first = flow.start("all")
    flow.until(lambda: len(flow.queue()) == 4, "the jobs")
    first.kill()
    first.wait()
    flow.release()
    flow.until(lambda: not flow.queue(), "the jobs to end")
    said = flow.run("all")
    assert flow.code == 0, said
    assert flow.starts() == [1, 1, 1, 1]


def test_a_snakemake_killed_while_it_submits_leaves_no_second_job(flow):
    """sbatch has taken the job, and nobody has heard its number."""
    flow.write(HELD)
    shim = flow.folder / "bin/sbatch"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\n{shutil.which("sbatch")} "$@"\nkill -9 $PPID\n')
    shim.chmod(0o755)
    path = flow.environment["PATH"]
    flow.environment["PATH"] = f"{shim.parent}{os.pathsep}{path}"
    flow.run("all")
    assert flow.code == -signal.SIGKILL
    assert len(flow.queue()) == 4
    flow.environment["PATH"] = path
    flow.release()
    said = flow.run("all")
    assert flow.code == 0, said
    assert flow.starts() == [1, 1, 1, 1]


def test_a_second_snakemake_is_told_who_holds_the_folder(flow):
    flow.write(HELD)
    first = flow.start("all")
    flow.begun()
    said = flow.run("all")
    assert flow.code == 1
    assert f"Snakemake, process {first.pid} of" in said
    assert f"kill -INT {first.pid}" in said
    flow.release()
    ends_with_each_job_run_once(flow, first)


def test_ctrl_c_cancels_our_jobs_and_nobody_elses(flow, tmp_path):
    flow.write(HELD)
    common = ("sbatch", "--parsable", "--output=/dev/null", "--chdir=/", "--mem=100", "--wrap=sleep 3600")
    ours = flow.cluster.run(*common).strip()
    theirs = flow.cluster.run("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *common).strip()
    process = flow.start("all")
    flow.begun()
    os.kill(process.pid, signal.SIGINT)
    said = flow.wait(process)
    assert flow.code != 0
    assert "Cancelled the 4 jobs of this workflow" in said
    flow.until(lambda: not flow.queue(), "our jobs to be gone")
    left = flow.cluster.run("squeue", "--noheader", f"--jobs={ours},{theirs}", "--format=%i").split()
    flow.cluster.run("scancel", ours, theirs)
    assert sorted(left) == sorted([ours, theirs])
    flow.release()
    said = flow.run("all")
    assert flow.code == 0, said


def test_a_controller_that_dies_is_waited_for(flow):
    flow.write(HELD)
    process = flow.start("all")
    flow.begun()
    # A controller that dies too soon has not yet written down that it started them; it does so after any change.
    ((job, _, _), *_) = flow.queue()
    flow.cluster.run("scontrol", "update", f"JobId={job}", "AdminComment=changed")
    changed, state = time.time(), flow.cluster.root / "state/job_state"
    flow.until(lambda: state.stat().st_mtime > changed, "the controller to write down its jobs")
    flow.cluster.kill_slurmctld()
    try:
        flow.says(process, "SLURM does not answer")
    finally:
        flow.cluster.start_slurmctld()
    flow.release()
    ends_with_each_job_run_once(flow, process)


def test_jobs_are_submitted_once_the_controller_is_back(flow):
    flow.write(HELD)
    flow.release()
    flow.cluster.kill_slurmctld()
    process = flow.start("all")
    try:
        flow.says(process, "SLURM takes no jobs")
    finally:
        flow.cluster.start_slurmctld()
    ends_with_each_job_run_once(flow, process)


def test_a_daemon_of_a_node_that_dies_costs_nothing(flow):
    flow.write(HELD)
    process = flow.start("all")
    flow.begun()
    node = flow.nodes()[0][0]
    flow.cluster.kill_slurmd(node)
    flow.cluster.start_slurmd(node)
    flow.release()
    ends_with_each_job_run_once(flow, process)


def test_jobs_of_a_node_that_is_lost_are_run_again(flow):
    flow.write(HELD)
    process = flow.start("all")
    flow.begun()
    node = flow.nodes()[0][0]
    on_node = [nodes == [node] for nodes in flow.nodes()]
    assert 0 < sum(on_node) < 4
    flow.cluster.kill_node(node)
    try:
        flow.says(process, "goes on from the beginning", times=sum(on_node))
        flow.release()
        said = flow.wait(process)
    finally:
        flow.cluster.start_slurmd(node)
    assert flow.code == 0, said
    assert sorted(path.name for path in (flow.folder / "out").iterdir()) == ["0.txt", "1.txt", "2.txt", "3.txt"]
    assert flow.starts() == [1 + lost for lost in on_node]
    assert said.count("goes on from the beginning") == sum(on_node)
