"""The executor: submits ready jobs, finds those of a Snakemake that was killed, watches all of them, cancels them."""

import contextlib
import os
import re
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import psutil
from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.utils import format_cli_arg

from snakemake_executor_plugin_submitit import limits, watch
from snakemake_executor_plugin_submitit.holder import hold, holders
from snakemake_executor_plugin_submitit.registry import Entry, Registry, Submission, job_key
from snakemake_executor_plugin_submitit.request import Request, RequestError, request_of
from snakemake_executor_plugin_submitit.scheduler import Local, Patience, Slurm, Unavailable
from snakemake_executor_plugin_submitit.submit import SubmissionRefused, Submitter

ROOT = Path(".snakemake/submitit")
NEVER_INHERITED = ("SLURM_", "SBATCH_", "SRUN_")
MOST_SECONDS_BETWEEN_QUESTIONS = 60.0


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
        self.found = self._find_jobs(settings.cluster)

    # Before anything is submitted

    def _refuse_the_impossible(self, cluster: str) -> None:
        jobs = [job for job in self.workflow.dag.needrun_jobs() if not job.is_local]
        requests = [(job.rule.name, self._request(job)) for job in jobs]
        if cluster != "slurm" or not requests:
            return
        try:
            refused = limits.refusals(limits.Cluster.read(), requests)
        except Unavailable as error:
            self.logger.warning(f"SLURM cannot be asked for its limits ({error}): requests go unchecked")
            return
        if refused:
            raise WorkflowError("SLURM cannot run this; nothing was submitted.\n" + "\n".join(refused))

    def _request(self, job) -> Request:
        try:
            return request_of(dict(job.resources.items()), job.threads)
        except RequestError as error:
            name = job.name if job.is_group() else job.rule.name
            raise WorkflowError(f"rule {name}: {error}") from None

    def _find_jobs(self, cluster: str) -> dict[str, Entry]:
        """Jobs submitted for this folder by a Snakemake that is gone, and which still count, by key."""
        others = {holder.identity for holder in holders() if not holder.is_gone()}
        open_submissions = [
            one for one in self.registry.submissions() if one.cluster == cluster and one.holder not in others
        ]
        if not open_submissions:
            return {}
        for submission in open_submissions:
            submission.holder = self.registry.holder
            self._complete(submission)
        entries = [entry for one in open_submissions if one.job_id for entry in one.entries().values()]
        states = self._insist(self.scheduler.states, {entry.job_id for entry in entries})
        found, began = {}, psutil.Process().create_time()
        for entry in entries:
            state = states.get(entry.job_id)
            # One that ended well before this Snakemake looked at the files is none of its business any more.
            is_new = watch.succeeded(entry) and entry.result.stat().st_mtime >= began
            if is_new or (state is not None and state.alive):
                found[entry.key] = entry
            else:
                self.registry.close(entry, succeeded=watch.succeeded(entry))
        self._point_out_strangers(found)
        return found

    def _complete(self, submission: Submission) -> None:
        """Settle a submission whose Snakemake was killed before it could write down the job's id."""
        if submission.job_id is not None:
            self.registry.save(submission)
            return
        submission.job_id = self._insist(self.scheduler.with_comment, submission.comment)
        entries = list(submission.entries().values())
        if submission.job_id is None or not all(entry.submitted.exists() for entry in entries):
            if submission.job_id is not None:
                # Killed before the job was given what to run: it would only wait for that in vain.
                self._insist(self.scheduler.cancel, [submission.job_id])
            submission.over = set(submission.names)
        self.registry.save(submission)

    def _point_out_strangers(self, found: dict[str, Entry]) -> None:
        wanted = {_key(job) for job in self.workflow.dag.needrun_jobs()}
        strangers = [entry for key, entry in found.items() if key not in wanted]
        if strangers:
            ids = " ".join(entry.job_id for entry in strangers)
            self.logger.warning(
                f"{len(strangers)} jobs submitted from this folder are not part of this run and go on: scancel {ids}"
            )

    def _insist(self, question, *arguments):
        """Ask the scheduler until it answers."""
        pause_s = 2.0
        while True:
            try:
                return question(*arguments)
            except Unavailable as error:
                self.logger.warning(f"SLURM does not answer ({error}): asking again in {pause_s:.0f} s")
                time.sleep(pause_s)
                pause_s = min(60.0, 2 * pause_s)

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
        self.questions.asked(changed=True)
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
        return "--quiet all --scheduler greedy"

    # Watching

    async def check_active_jobs(self, active_jobs: list[SubmittedJobInfo]):
        self.next_seconds_between_status_checks = self.questions.least_s
        for info in active_jobs:
            active = self.active.get(info.aux["key"])
            if active is not None and watch.succeeded(active.entry):
                self._over(active)
        if self.active and self.questions.is_due():
            self._ask()
        for info in active_jobs:
            if info.aux["key"] in self.active:
                yield info

    def _ask(self) -> None:
        try:
            states = self.scheduler.states({active.entry.job_id for active in self.active.values()})
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
            for line in active.watched.news():
                self.logger.warning(f"{active.entry.name}: {line}")
            verdict = active.watched.judge(states.get(active.entry.job_id))
            changed |= active.watched.changed
            if verdict is watch.Verdict.SUCCEEDED:
                self._over(active)
            elif verdict is watch.Verdict.LOST:
                self._submit_again(active)
            elif verdict is watch.Verdict.FAILED:
                self._over(active, reason=watch.reason(active.entry, self.scheduler.details(active.entry.job_id)))
        self.questions.asked(changed)

    def _over(self, active: Active, reason: str | None = None) -> None:
        """Report a job that has ended to Snakemake."""
        del self.active[active.entry.key]
        self.registry.close(active.entry, succeeded=reason is None)
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
        entries = [active.entry for active in self.active.values()]
        if not entries:
            return
        ids = sorted({entry.job_id for entry in entries})
        try:
            self.scheduler.cancel(ids)
        except Unavailable as error:
            self.logger.error(f"SLURM does not answer ({error}); cancel by hand: scancel {' '.join(ids)}")
            return
        for entry in entries:
            self.registry.close(entry, succeeded=False)
        shown = ", ".join(ids[:10]) + (", …" if len(ids) > 10 else "")
        self.logger.warning(f"Cancelled the {len(ids)} jobs of this workflow: {shown}")


def _key(job) -> str:
    outputs = (
        [str(path) for path in job.output] if not job.is_group() else sorted(str(p) for j in job for p in j.output)
    )
    return job_key(outputs, target=str(sorted(map(str, job.get_target_spec()))))


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
            with contextlib.suppress(KeyError):
                del os.environ[name]
