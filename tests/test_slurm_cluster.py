"""The SLURM that other tests submit to is a real one, alone, and leaves nothing behind."""

import shutil
import tempfile
import time
from pathlib import Path

import pytest
from slurm_cluster import Cluster, missing

pytestmark = pytest.mark.skipif(missing() is not None, reason=missing() or "")


@pytest.fixture(scope="module")
def clusters():
    """Two clusters of one node that are up at the same time."""
    roots = [Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp")) for _ in range(2)]
    found = [Cluster(root, nodes=1) for root in roots]
    try:
        for cluster in found:
            cluster.up()
        yield found
    finally:
        for cluster in found:
            cluster.down()
        for root in roots:
            shutil.rmtree(root)


def submit(cluster: Cluster, script: str, *options: str) -> str:
    folder = cluster.root / "jobs"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)
    command = ("sbatch", "--parsable", f"--chdir={folder}", "--output=%j.out", *options, "--wrap", script)
    return cluster.run(*command).strip()


def output(cluster: Cluster, job: str) -> str:
    return (cluster.root / "jobs" / f"{job}.out").read_text()


def state(cluster: Cluster, job: str) -> str:
    return cluster.run("squeue", "--noheader", "--states=all", "--job", job, "--format=%T").strip()


def wait(cluster: Cluster, job: str, wanted: str) -> None:
    deadline = time.monotonic() + 60
    while (last := state(cluster, job)) != wanted:
        assert time.monotonic() < deadline, f"job {job} is {last}, not {wanted}"
        time.sleep(0.1)


def test_an_ended_job_is_accounted_for(clusters):
    cluster = clusters[0]
    job = submit(cluster, "echo on $SLURMD_NODENAME")
    wait(cluster, job, "COMPLETED")
    assert output(cluster, job) == "on n1\n"
    query = ("sacct", "--noheader", "--allocations", "--parsable2", "--format=State", "--jobs", job)
    deadline = time.monotonic() + 30
    while (accounted := cluster.run(*query).strip()) != "COMPLETED":
        assert time.monotonic() < deadline, accounted
        time.sleep(0.1)


def test_a_job_sees_the_gpus_that_it_asked_for(clusters):
    cluster = clusters[0]
    script = "echo $CUDA_VISIBLE_DEVICES; sleep 2"
    # Without --mem the first would have all of the node's.
    jobs = [submit(cluster, script, "--gres=gpu:1", "--mem=100") for _ in range(2)]
    for job in jobs:
        wait(cluster, job, "COMPLETED")
    assert {output(cluster, job) for job in jobs} == {"0\n", "1\n"}


def test_another_user_submits(clusters):
    cluster = clusters[0]
    folder = cluster.root / "jobs"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)
    user = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
    job = cluster.run(*user, "sbatch", "--parsable", f"--chdir={folder}", "--output=%j.out", "--wrap=id -un").strip()
    wait(cluster, job, "COMPLETED")
    assert output(cluster, job) == "nobody\n"


def test_clusters_do_not_see_each_other(clusters):
    first, second = clusters
    job = submit(first, "sleep 600", "--job-name=of-the-first")
    wait(first, job, "RUNNING")
    assert "of-the-first" in first.run("squeue", "--format=%j")
    assert "of-the-first" not in second.run("squeue", "--states=all", "--format=%j")
    assert not set(first.processes()) & set(second.processes())
    first.run("scancel", job)


def test_a_requeued_job_starts_without_the_hold(clusters):
    cluster = clusters[0]
    job = submit(cluster, 'echo $SLURM_RESTART_COUNT; [ -n "$SLURM_RESTART_COUNT" ] || sleep 600', "--requeue")
    wait(cluster, job, "RUNNING")
    with cluster.releasing():
        cluster.run("scontrol", "requeue", job)
        wait(cluster, job, "COMPLETED")
    assert output(cluster, job) == "1\n"


def test_down_leaves_no_process_and_not_the_other_cluster(clusters):
    first, second = clusters
    job = submit(second, "trap '' TERM; setsid --fork sleep 600; sleep 600")
    wait(second, job, "RUNNING")
    assert {process.name() for process in second.processes("job")} == {"slurm_script", "sleep"}
    before = first.processes()
    second.down()
    assert second.processes() == []
    assert first.processes() == before


def test_a_crashed_daemon_leaves_its_jobs_and_a_lost_node_none(clusters):
    cluster = clusters[0]
    wait(cluster, submit(cluster, "sleep 600"), "RUNNING")
    cluster.kill_slurmd("n1")
    assert cluster.processes("job", "n1") and cluster.processes("slurmstepd", "n1")
    assert cluster.processes("slurmd") == []
    cluster.kill_node("n1")
    assert cluster.processes(node="n1") == []
    assert cluster.processes("slurmctld")


def test_a_folder_whose_sockets_would_have_too_long_a_path_is_refused():
    with pytest.raises(ValueError, match="shorter root"):
        Cluster(Path("/tmp") / ("long" * 20))
