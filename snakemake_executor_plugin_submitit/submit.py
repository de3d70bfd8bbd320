"""Hands jobs to submitit: writes them down first, waits out a busy controller, never submits one twice."""

import pickle
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from snakemake_executor_plugin_submitit import launch
from snakemake_executor_plugin_submitit.journal import Journal
from snakemake_executor_plugin_submitit.payload import Payload
from snakemake_executor_plugin_submitit.registry import Entry, Registry, Submission
from snakemake_executor_plugin_submitit.request import Request, local_parameters, slurm_parameters
from snakemake_executor_plugin_submitit.scheduler import Slurm, Unavailable, ask, is_busy

UNLIMITED_RESTARTS = 10**6
"""For submitit, which counts every signal near a limit of ten minutes or less as a time-out. The payload counts."""


class SubmissionRefused(Exception):
    """sbatch said no: its own words."""


class Submitter:
    def __init__(self, settings, registry: Registry, workdir: Path, say: Callable[[str], None]):
        self.settings, self.registry, self.workdir, self.say = settings, registry, workdir, say
        self._max_array: int | None = None

    @property
    def is_debug(self) -> bool:
        return self.settings.cluster == "debug"

    def max_array(self) -> int:
        """Most jobs in one submission, as far as SLURM can be asked now."""
        if self._max_array is None:
            self._max_array = max(1, self.settings.max_array)
            if self.settings.cluster != "slurm":
                self._max_array = 1
            elif self._max_array > 1:
                try:
                    self._max_array = min(self._max_array, _max_array_size())
                except Unavailable:
                    self._max_array = None  # asked again the next time
                    return 1
        return self._max_array

    def submit(self, rule: str, request: Request, commands: dict[str, tuple[str, str, str | None]]) -> dict[str, Entry]:
        """Submit jobs of one rule: one alone, several as an array. commands: key -> (name, command, progress file).

        Returns the entry of each key. Raises SubmissionRefused.
        """

        def prepare() -> tuple[Submission, list[Payload]]:
            names = {key: name for key, (name, _, _) in commands.items()}
            submission = self.registry.new(rule, self.settings.cluster, names)
            return submission, [
                self._payload(entry, request, command, progress_file)
                for entry, (_, command, progress_file) in zip(
                    submission.entries().values(), commands.values(), strict=True
                )
            ]

        return self._until_taken(request, prepare).entries()

    def submit_again(self, entry: Entry, request: Request) -> Entry:
        """Submit a job that was lost under a new id. Raises SubmissionRefused."""
        from submitit.helpers import DelayedSubmission

        def prepare() -> tuple[Submission, list[Payload]]:
            try:
                old = DelayedSubmission.load(entry.submitted).function
            except OSError as error:
                raise SubmissionRefused(f"{entry.submitted}: {error.strerror}") from error
            submission = self.registry.new(entry.submission.rule, self.settings.cluster, {entry.key: entry.name})
            new = submission.entries()[entry.key]
            if entry.journal.exists():
                shutil.copy(entry.journal, new.journal)
            Journal(new.journal).write("resubmit", job=entry.job_id)
            return submission, [self._payload(new, request, old.command, old.progress_file)]

        new = self._until_taken(request, prepare).entries()[entry.key]
        self.registry.close(entry, succeeded=False)
        return new

    def _until_taken(self, request: Request, prepare: Callable[[], tuple[Submission, list[Payload]]]) -> Submission:
        """Submit, as often as the controller is busy. Raises SubmissionRefused."""
        pause_s = 2.0
        while True:
            submission, payloads = prepare()
            try:
                submission.job_id = self._hand_over(submission, request, payloads)
            except Exception as error:
                complaint = _first_complaint(str(error))
                is_refusal = not is_busy(str(error))
                if not is_refusal:
                    self.say(f"SLURM takes no jobs ({complaint}): waiting for it")
                # Without a clear no, there may be a job.
                self._give_up(submission, insist=not is_refusal or type(error).__name__ == "FailedSubmissionError")
                if is_refusal:
                    raise SubmissionRefused(complaint) from error
                time.sleep(pause_s)
                pause_s = min(60.0, 2 * pause_s)
                continue
            self.registry.save(submission)
            return submission

    def _payload(self, entry: Entry, request: Request, command: str, progress_file: str | None) -> Payload:
        return Payload(
            command=command,
            workdir=str(self.workdir),
            journal=str(entry.journal),
            progress_file=progress_file,
            patience=self.settings.patience,
            grace_s=self.settings.grace_s,
            environment={
                launch.NODES: str(request.nodes),
                launch.TASKS_PER_NODE: str(request.tasks_per_node),
                launch.CPUS_PER_TASK: str(request.cpus_per_task),
            },
        )

    def _hand_over(self, submission: Submission, request: Request, payloads: list[Payload]) -> str:
        """Call submitit; returns the id of the job or of the array."""
        # Here and not above: every Snakemake that starts, in a job or out of it, imports every plugin.
        import submitit

        if self.settings.cluster == "slurm":
            executor = submitit.SlurmExecutor(submission.folder, max_num_timeout=UNLIMITED_RESTARTS)
            name = next(iter(submission.names.values())) if len(payloads) == 1 else submission.rule
            executor.update_parameters(
                **slurm_parameters(request, name, submission.comment, self.settings.grace_s),
                array_parallelism=len(payloads),
            )
        else:
            executor = submitit.AutoExecutor(submission.folder, cluster=self.settings.cluster)
            executor.update_parameters(**local_parameters(request, self.settings.grace_s))
        jobs = executor.submit_array(payloads) if len(payloads) > 1 else [executor.submit(payloads[0])]
        if self.is_debug:
            _run_here(jobs[0])
        return jobs[0].job_id.partition("_")[0] if len(payloads) > 1 else jobs[0].job_id

    def _give_up(self, submission: Submission, insist: bool) -> None:
        """Forget a submission that failed, and end the job that it may have become all the same.

        insist: until SLURM has said whether there is one; a refusal is as good as that.
        """
        while self.settings.cluster == "slurm":
            slurm = Slurm()
            try:
                job_id = slurm.with_comment(submission.comment)
                if job_id is not None:
                    slurm.cancel([job_id])
                break
            except Unavailable:
                if not insist:
                    break
                time.sleep(10)
        submission.over = set(submission.names)
        self.registry.save(submission)


def _run_here(job) -> None:
    """Run a job of submitit's debug executor now, and leave its result where the other executors do."""
    try:
        job.results()
    except (Exception, SystemExit):
        return
    job.paths.result_pickle.write_bytes(pickle.dumps(("success", None)))


def _max_array_size() -> int:
    found = re.search(r"MaxArraySize\s*=\s*(\d+)", ask("scontrol", "show", "config"))
    return max(1, int(found.group(1)) - 1) if found else 1


def _first_complaint(message: str) -> str:
    """sbatch's own line of a message that holds submitit's traceback as well."""
    complaints = re.findall(r"(?:sbatch|squeue|srun): (?:error: )?(.*)", message)
    return " ".join(complaints) or (message.strip() or "it did not say why").splitlines()[-1]
