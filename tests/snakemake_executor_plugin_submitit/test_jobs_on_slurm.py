"""The executor on a real SLURM: what jobs are given, and what is said when they fail or cannot be."""

import subprocess

from slurm_workflow import HELD


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
    flow.write(HELD)
    flow.release()
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
    assert flow.starts() == [1, 1, 1, 1]


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
    flow.write(HELD)
    process = flow.start("out/0.txt")
    flow.running(1)
    ((job, _, _),) = flow.queue()
    flow.cluster.run("scancel", job)
    said = flow.wait(process)
    assert flow.code == 1
    assert "ended as CANCELLED" in said
    assert "somebody cancelled it" in said
    assert flow.starts()[0] <= 1
