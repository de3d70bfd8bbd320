"""Snakemake executor: one Snakemake job becomes one submitit job, on SLURM or on this machine.

    snakemake --executor submitit --jobs 100 --default-resources slurm_partition=gpu runtime=60

Jobs that are preempted, run into their time limit or lose their node go on where they saved; a Snakemake that was
killed finds its jobs again. `README.md` beside this file is the manual.
"""

from dataclasses import dataclass, field

from snakemake_interface_executor_plugins.settings import CommonSettings, ExecutorSettingsBase


@dataclass
class ExecutorSettings(ExecutorSettingsBase):
    cluster: str = field(
        default="slurm",
        metadata={
            "help": "Where jobs run: slurm, local (processes of this machine) or debug (in this process, one by one).",
            "choices": ["slurm", "local", "debug"],
        },
    )
    grace_s: int = field(
        default=120,
        metadata={
            "help": "Seconds before the time limit at which SLURM sends SIGUSR2, so that a job can save and be "
            "requeued. SLURM looks every 30 seconds or so: leave that much room beside the time a save takes."
        },
    )
    patience: int = field(
        default=3,
        metadata={"help": "Restarts of a job in a row without progress, after which it fails instead."},
    )
    max_array: int = field(
        default=1000,
        metadata={"help": "Largest job array: identical jobs are submitted together. 1 for no arrays."},
    )


common_settings = CommonSettings(
    non_local_exec=True,
    implies_no_shared_fs=False,
    job_deploy_sources=False,
    # sbatch hands the environment on; nothing of it belongs into a command line that every user can list.
    pass_envvar_declarations_to_cmd=False,
    auto_deploy_default_storage_provider=False,
    # The thread that checks jobs starts before the executor is ready.
    init_seconds_before_status_checks=1,
)


def __getattr__(name: str):
    """Load the executor only where Snakemake looks for it: every job imports this package to read its payload."""
    if name == "Executor":
        from snakemake_executor_plugin_submitit.executor import Executor

        return Executor
    raise AttributeError(name)
