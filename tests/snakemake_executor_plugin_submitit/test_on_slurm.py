"""The executor on a real SLURM: real jobs, real signals, processes that are really killed."""

import os
import shutil
import signal
import subprocess
import time

COUNTED = """
rule all:
    input: expand("out/{i}.txt", i=range(4))
rule one:
    output: "out/{i}.txt"
    resources: runtime=10, mem_mb=100
    shell: "echo started >> starts.{wildcards.i}; sleep SECONDS; echo {wildcards.i} > {output}"
"""


def starts(flow) -> list[int]:
    return [len(flow.lines(f"starts.{i}")) for i in range(4)]


def test_jobs_of_one_rule_are_one_array_and_each_task_does_its_own(flow):
    flow.write(
        """
rule all:
    input: "sum.txt"
rule one:
    output: "out/{i}.txt"
    resources: runtime=10, mem_mb=100
    shell: "echo {wildcards.i} > {output}"
rule total:
    input: expand("out/{i}.txt", i=range(5))
    output: "sum.txt"
    resources: runtime=10, mem_mb=100
    shell: "cat {input} > {output}"
"""
    )
    said = flow.run("all")
    assert flow.code == 0, said
    assert flow.lines("sum.txt") == ["0", "1", "2", "3", "4"]
    jobs = {job.partition("_")[0] for job, _, name in flow.queue("--states=all") if name == "one"}
    assert len(jobs) == 1
    assert not list((flow.folder / ".snakemake/submitit/open").iterdir())
    assert "Nothing to be done" in flow.run("all")


def test_resources_reach_the_job(flow):
    flow.write(
        """
rule all:
    input: "job.txt", "environment.txt"
rule one:
    output: "job.txt", "environment.txt"
    threads: 2
    resources: runtime=7, mem_mb=321, gpu=1, slurm_partition="high", slurm_extra="--nice=5"
    shell: "scontrol show job $SLURM_JOB_ID > {output[0]}; env > {output[1]}"
"""
    )
    said = flow.run("all")
    assert flow.code == 0, said
    job = " ".join(flow.lines("job.txt"))
    for wanted in ("Partition=high", "TimeLimit=00:07:00", "MinMemoryNode=321M", "NumCPUs=2", "Nice=5", "Requeue=1"):
        assert wanted in job, job
    assert any(line in ("CUDA_VISIBLE_DEVICES=0", "CUDA_VISIBLE_DEVICES=1") for line in flow.lines("environment.txt"))


def test_one_process_per_gpu_on_two_nodes(flow):
    flow.write(
        """
rule all:
    input: "ranks.txt"
rule ranks:
    output: "ranks.txt"
    resources: runtime=10, mem_mb=100, nodes=2, gpu=4, tasks=4, cpus_per_task=1
    shell: "submitit-launch bash -c 'echo $SLURM_PROCID/$SLURM_NTASKS $SLURM_LOCALID $SLURMD_NODENAME' > {output}"
"""
    )
    said = flow.run("all")
    assert flow.code == 0, said
    ranks = sorted(line.split() for line in flow.lines("ranks.txt"))
    assert [rank[:2] for rank in ranks] == [["0/4", "0"], ["1/4", "1"], ["2/4", "0"], ["3/4", "1"]]
    assert ranks[0][2] == ranks[1][2] != ranks[2][2] == ranks[3][2]


def test_all_processes_of_a_job_hear_the_signal_and_go_on_together(flow):
    flow.write(
        """
rule all:
    input: "ranks.txt"
rule ranks:
    output: "ranks.txt"
    resources: runtime=10, mem_mb=100, nodes=2, tasks=2, cpus_per_task=1
    shell: "submitit-launch bash -c 'python trainer.py rank$SLURM_PROCID.txt 60'; cat rank?.txt > {output}"
"""
    )
    process = flow.start("all")
    flow.running(1)
    flow.until(lambda: (flow.folder / ".snakemake/submitit/ranks").exists(), "the log folder")
    flow.until(lambda: flow.log_of("ranks").count("from 0") == 2, "both processes")
    ((job, _, _),) = flow.queue()
    flow.cluster.run("scancel", "--signal=USR2", job)
    said = flow.wait(process)
    assert flow.code == 0, said
    assert flow.log_of("ranks").count("saved at") == 2
    assert "goes on" in said


RESUMABLE = """
rule all:
    input: "out.txt"
rule train:
    output: "out.txt"
    resources: runtime=RUNTIME, mem_mb=100, cpus_per_task=4, progress_file="out.state"
    shell: "python trainer.py {output} STEPS"
"""


def resumable(flow, steps: int, runtime: int = 10) -> None:
    flow.write(RESUMABLE.replace("RUNTIME", str(runtime)).replace("STEPS", str(steps)))


def test_a_time_limit_shorter_than_the_work_is_no_failure(flow):
    resumable(flow, steps=500, runtime=1)
    said = flow.run("all", "--submitit-grace-s", "40", "--submitit-patience", "10", timeout_s=240)
    assert flow.code == 0, said
    assert "stopped by SIGUSR2 and requeued" in said
    assert "goes on where it had saved" in said


def test_a_preempted_job_goes_on_when_its_place_is_free_again(flow):
    resumable(flow, steps=100)
    process = flow.start("all")
    flow.until(lambda: "from 0" in flow.log_of("train"), "the training")
    ((_, _, _),) = flow.queue()
    nodes = flow.cluster.nodes
    other = flow.cluster.run(
        "sbatch", "--parsable", "--partition=high", f"--nodes={nodes}", "--exclusive", "--output=/dev/null",
        "--chdir=/", "--wrap=srun sleep 4",
    )  # fmt: skip
    said = flow.wait(process)
    assert flow.code == 0, said
    assert "requeued" in said
    assert "goes on where it had saved" in said
    flow.cluster.run("scancel", other.strip())


def test_sigterm_that_is_no_cancel_is_taken_for_preemption(flow):
    resumable(flow, steps=60)
    process = flow.start("all")
    flow.until(lambda: "from 0" in flow.log_of("train"), "the training")
    ((job, _, _),) = flow.queue()
    flow.cluster.run("scancel", "--signal=TERM", job)
    said = flow.wait(process)
    assert flow.code == 0, said
    assert "stopped by SIGTERM and requeued" in said
    assert "goes on where it had saved" in said


def test_a_job_that_gets_nowhere_is_given_up(flow):
    flow.write(
        """
rule all:
    input: "out.txt"
rule stubborn:
    output: "out.txt"
    resources: runtime=10, mem_mb=100
    shell: "echo hello; sleep 100"
"""
    )
    process = flow.start("all", "--submitit-patience", "1", "--submitit-grace-s", "20")
    for start in (1, 2):
        flow.until(lambda start=start: flow.log_of("stubborn").count("hello") == start, f"start {start}")
        ((job, _, _),) = flow.queue("--states=running")
        flow.cluster.run("scancel", "--signal=USR2", job)
    said = flow.wait(process)
    assert flow.code == 1
    assert "started 2 times without progress: not started again" in said


def test_a_killed_snakemake_finds_its_jobs_again(flow):
    flow.write(COUNTED.replace("SECONDS", "12"))
    first = flow.start("all")
    flow.running(4)
    first.kill()
    first.wait()
    said = flow.run("all")
    assert flow.code == 0, said
    assert f"process {first.pid} of" in said
    assert "is gone: its lock is cleared" in said
    assert said.count("found again as job") == 4
    assert starts(flow) == [1, 1, 1, 1]


def test_jobs_that_end_while_nobody_watches_are_not_run_again(flow):
    flow.write(COUNTED.replace("SECONDS", "3"))
    first = flow.start("all")
    flow.until(lambda: len(flow.queue()) == 4, "the jobs")
    first.kill()
    first.wait()
    flow.until(lambda: not flow.queue(), "the jobs to end")
    said = flow.run("all")
    assert flow.code == 0, said
    assert starts(flow) == [1, 1, 1, 1]


def test_a_snakemake_killed_while_it_submits_leaves_no_second_job(flow):
    """sbatch has taken the job, and nobody has heard its number."""
    flow.write(COUNTED.replace("SECONDS", "1"))
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
    said = flow.run("all")
    assert flow.code == 0, said
    assert starts(flow) == [1, 1, 1, 1]


def test_a_second_snakemake_is_told_who_holds_the_folder(flow):
    flow.write(COUNTED.replace("SECONDS", "8"))
    first = flow.start("all")
    flow.running(4)
    said = flow.run("all")
    assert flow.code == 1
    assert f"Snakemake, process {first.pid} of" in said
    assert f"kill -INT {first.pid}" in said
    assert flow.wait(first) and flow.code == 0
    assert starts(flow) == [1, 1, 1, 1]


def test_ctrl_c_cancels_our_jobs_and_nobody_elses(flow, tmp_path):
    flow.write(COUNTED.replace("SECONDS", "300"))
    common = ("sbatch", "--parsable", "--output=/dev/null", "--chdir=/", "--mem=100", "--wrap=sleep 300")
    ours = flow.cluster.run(*common).strip()
    theirs = flow.cluster.run("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *common).strip()
    process = flow.start("all")
    flow.running(4)
    os.kill(process.pid, signal.SIGINT)
    said = flow.wait(process)
    assert flow.code != 0
    assert "Cancelled the 4 jobs of this workflow" in said
    flow.until(lambda: not flow.queue(), "our jobs to be gone", timeout_s=40)
    left = flow.cluster.run("squeue", "--noheader", f"--jobs={ours},{theirs}", "--format=%i").split()
    flow.cluster.run("scancel", ours, theirs)
    assert sorted(left) == sorted([ours, theirs])
    flow.write(COUNTED.replace("SECONDS", "0"))
    said = flow.run("all")
    assert flow.code == 0, said


def test_a_failure_shows_its_reason_and_the_others_go_on(flow):
    flow.write(
        """
rule all:
    input: expand("out/{i}.txt", i=range(3))
rule one:
    output: "out/{i}.txt"
    resources: runtime=10, mem_mb=100
    shell:
        "echo started >> starts.{wildcards.i}; echo trouble with {wildcards.i} >&2; "
        "test -e mended || test {wildcards.i} != 1; echo ok > {output}"
"""
    )
    said = flow.run("all", "--keep-going")
    assert flow.code == 1
    assert "one 1: job" in said
    assert "ended as FAILED, exit code 1" in said
    assert "    trouble with 1" in said
    assert "_log.out" in said
    assert sorted(path.name for path in (flow.folder / "out").iterdir()) == ["0.txt", "2.txt"]
    (flow.folder / "mended").touch()
    said = flow.run("all")
    assert flow.code == 0, said
    assert [len(flow.lines(f"starts.{i}")) for i in range(3)] == [1, 2, 1]


def test_a_job_that_somebody_cancels_says_so(flow):
    flow.write(COUNTED.replace("SECONDS", "100"))
    process = flow.start("out/0.txt")
    flow.running(1)
    ((job, _, _),) = flow.queue()
    flow.cluster.run("scancel", job)
    said = flow.wait(process)
    assert flow.code == 1
    assert "ended as CANCELLED" in said
    assert "somebody cancelled it" in said
    assert starts(flow)[0] <= 1


def test_what_the_cluster_cannot_do_is_refused_before_anything_is_submitted(flow):
    for resources, complaint in {
        "slurm_partition='gpus'": "there is no partition 'gpus': known are",
        "gpu=9": "9 GPUs on a node are asked for, and no node of partition 'gpu' has more than 2",
        "slurm_partition='brief'": "runtime=20 min is over the 10 min of partition 'brief'",
        "nodes=99": "nodes are asked for",
        "slurm_acount='x'": "there is no resource 'slurm_acount'",
    }.items():
        flow.write(
            f"""
rule all:
    input: "fine.txt", "wrong.txt"
rule fine:
    output: "fine.txt"
    resources: runtime=10, mem_mb=100
    shell: "touch {{output}}"
rule wrong:
    input: "fine.txt"
    output: "wrong.txt"
    resources: runtime=20, mem_mb=100, {resources}
    shell: "touch {{output}}"
"""
        )
        said = flow.run("all")
        assert flow.code == 1, said
        assert f"rule wrong: {complaint}" in said or (complaint in said and "rule wrong" in said), said
        assert "Traceback" not in said
    assert not flow.queue("--states=all")


def test_a_controller_that_dies_is_waited_for(flow):
    flow.write(COUNTED.replace("SECONDS", "20"))
    process = flow.start("all")
    flow.running(4)
    time.sleep(6)  # a controller that dies sooner has not yet written down that it started them
    flow.cluster.kill_slurmctld()
    flow.until(lambda: "SLURM does not answer" in process.output.read_text(), "the outage to be noticed")
    flow.cluster.start_slurmctld()
    said = flow.wait(process)
    assert flow.code == 0, said
    assert starts(flow) == [1, 1, 1, 1]


def test_jobs_are_submitted_once_the_controller_is_back(flow):
    flow.write(COUNTED.replace("SECONDS", "0"))
    flow.cluster.kill_slurmctld()
    process = flow.start("all")
    try:
        flow.until(lambda: "SLURM takes no jobs" in process.output.read_text(), "the refusal", timeout_s=150)
    finally:
        flow.cluster.start_slurmctld()
    said = flow.wait(process)
    assert flow.code == 0, said
    assert starts(flow) == [1, 1, 1, 1]


def test_a_daemon_of_a_node_that_dies_costs_nothing(flow):
    flow.write(COUNTED.replace("SECONDS", "8"))
    process = flow.start("all")
    flow.running(4)
    flow.cluster.kill_slurmd("n1")
    time.sleep(2)
    flow.cluster.start_slurmd("n1")
    said = flow.wait(process)
    assert flow.code == 0, said
    assert starts(flow) == [1, 1, 1, 1]


def test_jobs_of_a_node_that_is_lost_are_run_again(flow):
    flow.write(COUNTED.replace("SECONDS", "15"))
    process = flow.start("all")
    flow.running(4)
    flow.until(lambda: sum(starts(flow)) == 4, "the commands")
    ((node, _),) = {tuple(line.split()) for line in flow.cluster.run("squeue", "-h", "-o", "%N %T").splitlines()}
    flow.cluster.kill_node(node)
    try:
        said = flow.wait(process, timeout_s=240)
    finally:
        if not flow.cluster.processes("slurmd", node):
            flow.cluster.start_slurmd(node)
    assert flow.code == 0, said
    assert sorted(path.name for path in (flow.folder / "out").iterdir()) == ["0.txt", "1.txt", "2.txt", "3.txt"]
    assert starts(flow) == [2, 2, 2, 2]
    assert said.count("goes on from the beginning") == 4


def test_groups_of_rules_are_one_job(flow):
    flow.write(
        """
rule all:
    input: expand("second/{i}.txt", i=range(2))
rule first:
    output: "first/{i}.txt"
    group: "pair"
    resources: runtime=5, mem_mb=100
    shell: "echo {wildcards.i} > {output}"
rule second:
    input: "first/{i}.txt"
    output: "second/{i}.txt"
    group: "pair"
    resources: runtime=5, mem_mb=lambda wildcards, input: 100 + input.size
    shell: "cp {input} {output}"
"""
    )
    said = flow.run("all")
    assert flow.code == 0, said
    assert [flow.lines(f"second/{i}.txt") for i in range(2)] == [["0"], ["1"]]
    assert len(flow.queue("--states=all")) == 2


def test_inside_an_allocation_nothing_of_it_is_inherited(flow):
    flow.write(COUNTED.replace("SECONDS", "0"))
    script = (
        f"cd {flow.folder} && snakemake --executor submitit --jobs 4 --seconds-between-status-checks 1 all > inner.log"
    )
    done = subprocess.run(
        ["srun", "--cpus-per-task=2", "--mem-per-cpu=100", "--time=5", "bash", "-c", script],
        env=flow.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert starts(flow) == [1, 1, 1, 1]
