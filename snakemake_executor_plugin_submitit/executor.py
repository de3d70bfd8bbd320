"""The executor: refuses what cannot be, submits ready jobs, watches them, cancels them."""

import os
import re
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.utils import format_cli_arg

from snakemake_executor_plugin_submitit import limits, watch
from snakemake_executor_plugin_submitit.holder import hold
from snakemake_executor_plugin_submitit.recovery import find_jobs
from snakemake_executor_plugin_submitit.registry import Entry, Registry, job_key
from snakemake_executor_plugin_submitit.request import Request, RequestError, request_of
from snakemake_executor_plugin_submitit.scheduler import Local, Patience, Slurm, State, Unavailable
from snakemake_executor_plugin_submitit.submit import SubmissionRefused, Submitter

ROOT = Path(".snakemake/submitit")
NEVER_INHERITED = ("SLURM_", "SBATCH_", "SRUN_")
MOST_SECONDS_BETWEEN_QUESTIONS = 60.0
UNKNOWN_YET = "<TBD>"
"""Snakemake's value of a resource that cannot be computed before the job's inputs are there."""


@dataclass
class Active:
    """A job that this Snakemake waits for."""

    info: SubmittedJobInfo
    entry: Entry
    request: Request
    watched: watch.Watched


class Executor(RemoteExecutor):
    def __post_init__(self) -> None:
        settings = self.workflow.executor_settings
        _leave_allocation()
        self.registry = Registry(ROOT, holder=hold(self.workflow).identity)
        self.submitter = Submitter(settings, self.registry, workdir=Path.cwd(), say=self.logger.warning)
        self.scheduler = Slurm() if settings.cluster == "slurm" else Local()
        self.active: dict[str, Active] = {}
        self.outage_since: float | None = None
        least_s = self.workflow.remote_execution_settings.seconds_between_status_checks
        self.questions = Patience(least_s, MOST_SECONDS_BETWEEN_QUESTIONS)
        self._refuse_the_impossible(settings.cluster)
        wanted = {_key(job) for job in self.workflow.dag.needrun_jobs()}
        self.found = find_jobs(self.registry, self.scheduler, settings.cluster, wanted, say=self.logger.warning)

    # Before anything is submitted

    def _refuse_the_impossible(self, cluster: str) -> None:
        jobs = [job for job in self.workflow.dag.needrun_jobs() if not job.is_local]
        requests = [(job.rule.name, self._request(job, is_ready=False)) for job in jobs]
        if cluster != "slurm" or not requests:
            return
        try:
            refused = limits.refusals(limits.Cluster.read(), requests)
        except Unavailable as error:
            self.logger.warning(f"SLURM cannot be asked for its limits ({error}): requests go unchecked")
            return
        if refused:
            raise WorkflowError("SLURM cannot run this; nothing was submitted.\n" + "\n".join(refused))

    def _request(self, job, is_ready: bool = True) -> Request:
        """is_ready: whether the job's inputs exist. Until then, resources that are functions of them are unknown."""
        resources = dict(job.resources.items())
        if not is_ready:
            known = {name: value for name, value in resources.items() if str(value) != UNKNOWN_YET}
            resources = {"runtime": 1, **known} if "runtime" in resources else known
        try:
            return request_of(resources, job.threads)
        except RequestError as error:
            name = job.name if job.is_group() else job.rule.name
            raise WorkflowError(f"rule {name}: {error}") from None

    # Submission

    def run_job(self, job) -> None:
        self.run_jobs([job])

    def run_jobs(self, jobs) -> None:
        fresh = defaultdict(list)
        for job in jobs:
            if not self.submitter.is_debug:
                self.run_job_pre(job)
            entry = self.found.pop(_key(job), None)
            if entry is None:
                fresh[job.name if job.is_group() else job.rule.name, self._request(job)].append(job)
            else:
                self.logger.warning(f"{entry.name}: found again as job {entry.job_id}")
                self._watch(job, entry, self._request(job), register=False)
        for (rule, request), some in fresh.items():
            size = self.submitter.max_array()
            for start in range(0, len(some), size):
                self._submit(rule, request, some[start : start + size])

    def _submit(self, rule: str, request: Request, jobs: list) -> None:
        commands = {_key(job): (_name(job), self.format_job_exec(job), _progress_file(job)) for job in jobs}
        try:
            entries = self.submitter.submit(_file_name(rule), request, commands)
        except SubmissionRefused as error:
            for job in jobs:
                info = SubmittedJobInfo(job)
                self.report_job_error(info, msg=f"{_name(job)} could not be submitted: {error}\n")
            return
        for job in jobs:
            self._watch(job, entries[_key(job)], request)

    def _watch(self, job, entry: Entry, request: Request, register: bool = True) -> None:
        info = SubmittedJobInfo(job, external_jobid=entry.job_id, aux={"key": entry.key})
        self.active[entry.key] = Active(info, entry, request, watch.Watched(entry))
        self.questions.hurry()
        self.report_job_submission(info, register_job=register)

    def get_job_args(self, job, **kwargs) -> str:
        """Snakemake's arguments for a job, less the temporary folder of this process among the files to wait for: a
        job that is requeued may outlive this process."""
        files = [str(path) for path in job.get_wait_for_files()]
        arguments = super(RemoteExecutor, self).get_job_args(job, **kwargs)
        return f"{arguments} {format_cli_arg('--wait-for-files', files, skip=not files)}"

    def additional_general_args(self) -> str:
        # The log of a job is what its command said: Snakemake's account of it is in this process's output. And a
        # single job needs no solver to be scheduled, which is slow to load.
        return "--quiet host rules progress reason --scheduler greedy"

    # Watching

    async def check_active_jobs(self, active_jobs: list[SubmittedJobInfo]):
        self.next_seconds_between_status_checks = self.questions.least_s
        try:
            self._look()
        except OSError as error:
            # An exception would end Snakemake and leave its jobs alone. The file system may be back the next time.
            self.logger.warning(f"the state of the jobs cannot be read or written ({error}): trying again")
        for info in active_jobs:
            if info.aux["key"] in self.active:
                yield info

    def _look(self) -> None:
        for active in list(self.active.values()):
            if watch.succeeded(active.entry):
                self._tell(active)
                self._over(active)
        if self.active and self.questions.is_due():
            self._ask()

    def _ask(self) -> None:
        try:
            states = self.scheduler.states({active.entry.job_id for active in list(self.active.values())})
        except Unavailable as error:
            if self.outage_since is None:
                self.logger.warning(f"SLURM does not answer ({error}): waiting for it; jobs go on")
                self.outage_since = time.monotonic()
            self.questions.asked(changed=False)
            return
        if self.outage_since is not None:
            self.logger.warning(f"SLURM answers again after {time.monotonic() - self.outage_since:.0f} s")
            self.outage_since = None
        changed = False
        for active in list(self.active.values()):
            state = states.get(active.entry.job_id)
            self._tell(active, state)
            verdict = active.watched.judge(state)
            changed |= active.watched.changed
            if verdict is watch.Verdict.SUCCEEDED:
                self._over(active)
            elif verdict is watch.Verdict.LOST:
                self._submit_again(active)
            elif verdict is watch.Verdict.FAILED:
                self._over(active, reason=watch.reason(active.entry, self.scheduler.details(active.entry.job_id)))
        self.questions.asked(changed)

    def _tell(self, active: Active, state: State | None = None) -> None:
        for line in active.watched.news(state):
            self.logger.warning(f"{active.entry.name}: {line}")

    def _over(self, active: Active, reason: str | None = None) -> None:
        """Report a job that has ended to Snakemake."""
        self.registry.close(active.entry, succeeded=reason is None)
        del self.active[active.entry.key]
        if reason is None:
            self.report_job_success(active.info)
        else:
            self.report_job_error(active.info, msg=f"{reason}\n", aux_logs=[str(active.entry.log)])

    def _submit_again(self, active: Active) -> None:
        """A job that the cluster has lost and does not run again by itself. Its journal goes on counting restarts."""
        try:
            entry = self.submitter.submit_again(active.entry, active.request)
        except SubmissionRefused as error:
            self._over(active, reason=f"{active.entry.name} was lost and could not be submitted again: {error}")
            return
        self.logger.warning(f"{entry.name}: job {active.entry.job_id} was lost, submitted again as {entry.job_id}")
        active.info.external_jobid = entry.job_id
        self.active[entry.key] = Active(active.info, entry, active.request, watch.Watched(entry))

    # The end

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        # Not those given: the list is empty while a check is under way.
        entries = [active.entry for active in self.active.values()] + list(self.found.values())
        try:
            # Interrupted between sbatch and writing down what it said, there may be one more.
            for submission in self.registry.unsettled():
                submission.job_id = self.scheduler.with_comment(submission.comment)
                entries += submission.entries().values() if submission.job_id else []
            ids = sorted({entry.job_id for entry in entries})
            if not ids:
                return
            self.scheduler.cancel(ids)
        except Unavailable as error:
            ids = " ".join(sorted(entry.job_id for entry in entries))
            self.logger.error(f"SLURM does not answer ({error}); cancel by hand: scancel {ids}")
            return
        for entry in entries:
            self.registry.close(entry, succeeded=False)
        shown = ", ".join(ids[:10]) + (", …" if len(ids) > 10 else "")
        self.logger.warning(f"Cancelled the {len(ids)} jobs of this workflow: {shown}")


def _key(job) -> str:
    jobs = list(job) if job.is_group() else [job]
    return job_key((str(path) for one in jobs for path in one.output), target=_name(job))


def _name(job) -> str:
    if job.is_group():
        return job.name
    return " ".join([job.rule.name, *(str(value) for value in job.wildcards)])


def _file_name(rule: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", rule)


def _progress_file(job) -> str | None:
    """The resource `progress_file`: its content changes whenever the job has saved something new."""
    value = None if job.is_group() else job.resources.get("progress_file")
    return job.format_wildcards(str(value)) if value else None


def _leave_allocation() -> None:
    """Forget that Snakemake itself may run inside a SLURM job: sbatch and srun would take its settings over."""
    for name in list(os.environ):
        if name.startswith(NEVER_INHERITED) and name != "SLURM_CONF":
            del os.environ[name]
