"""`submitit-launch COMMAND …`: the command once per task of the job, which is once per GPU where tasks = gpu.

In a rule's shell command. With one task, and outside a job, it is the command itself. On SLURM the tasks are started
by srun on all nodes of the job and find each other through SLURM's variables; on one machine by torchrun.
"""

import os
import shutil
import socket
import sys

NODES, TASKS_PER_NODE, CPUS_PER_TASK = "SUBMITIT_JOB_NODES", "SUBMITIT_JOB_TASKS_PER_NODE", "SUBMITIT_JOB_CPUS_PER_TASK"
"""What the payload tells the command about its job: inside a job step, SLURM's own variables speak of the step."""


def main() -> None:
    command = sys.argv[1:]
    if not command:
        sys.exit("usage: submitit-launch COMMAND [ARGUMENT ...]")
    launched = [*launcher(os.environ), *command]
    if shutil.which(launched[0]) is None:
        sys.exit(f"submitit-launch: there is no program {launched[0]!r} on the PATH")
    # Rank 0 runs where this does: on the first node. Its own name for itself is one that the others can resolve, which
    # SLURM's name for it need not be.
    os.environ.setdefault("MASTER_ADDR", socket.gethostname())
    os.execvp(launched[0], launched)


def launcher(environment) -> list[str]:
    """What goes before the command. environment: the job's variables."""
    nodes, tasks = int(environment.get(NODES, 1)), int(environment.get(TASKS_PER_NODE, 1))
    if nodes * tasks == 1:
        return []
    if environment.get("SUBMITIT_EXECUTOR") != "slurm":
        signals = "--signals-to-handle=SIGTERM,SIGINT,SIGUSR2"  # and passed on
        return ["torchrun", "--standalone", f"--nproc-per-node={nodes * tasks}", signals, "--no-python"]
    return [
        "srun",
        "--overlap",  # the step that this runs in holds the job's CPUs and GPUs
        f"--nodes={nodes}",
        f"--ntasks-per-node={tasks}",
        "--distribution=block",  # neighbouring ranks on one node
        f"--ntasks={nodes * tasks}",
        f"--cpus-per-task={environment.get(CPUS_PER_TASK, 1)}",
        "--kill-on-bad-exit=0",  # a task that has saved and left must not take those with it that still save
        "--unbuffered",
    ]
