"""The executor on a real SLURM: jobs that are told to stop go on where they had saved."""

RESUMABLE = """
rule all:
    input: "out.txt"
rule train:
    output: "out.txt"
    resources: runtime=10, mem_mb=100, cpus_per_task=4, progress_file="out.state"
    shell: "python trainer.py {output} 1"
"""


def test_all_processes_of_a_job_hear_the_signal_and_go_on_together(flow):
    flow.write(
        """
rule all:
    input: "ranks.txt"
rule ranks:
    output: "ranks.txt"
    resources: runtime=10, mem_mb=100, nodes=2, tasks=2, cpus_per_task=1
    shell: "submitit-launch bash -c 'python trainer.py rank$SLURM_PROCID.txt 1'; cat rank?.txt > {output}"
"""
    )
    process = flow.start("all")
    flow.until(lambda: flow.log_of("ranks").count("from 0") == 2, "both processes")
    ((job, _, _),) = flow.queue()
    flow.cluster.run("scancel", "--signal=USR2", job)
    said = flow.wait(process)
    assert flow.code == 0, said
    assert flow.log_of("ranks").count("saved at") == 2
    assert "goes on" in said


def test_a_time_limit_shorter_than_the_work_is_no_failure(flow):
    flow.write(RESUMABLE)
    # SLURM looks at limits every 30 s and is early: the signal comes 10 to 40 s after the start.
    limits = ("--set-resources", "train:runtime=1", "--submitit-grace-s", "20", "--submitit-patience", "10")
    said = flow.run("all", *limits)
    assert flow.code == 0, said
    assert "stopped by SIGUSR2 and requeued" in said
    assert "goes on where it had saved" in said


def test_a_preempted_job_goes_on_when_its_place_is_free_again(flow):
    flow.write(RESUMABLE)
    process = flow.start("all")
    flow.until(lambda: "from 0" in flow.log_of("train"), "the training")
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
    flow.write(RESUMABLE)
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
    shell: "echo hello; sleep 600"
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
