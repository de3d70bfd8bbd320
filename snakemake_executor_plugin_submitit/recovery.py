"""Finds the jobs of a Snakemake that was killed, so that the next one waits for them instead of submitting them again.

Free of Snakemake.
"""

import time
from collections.abc import Callable, Collection

import psutil

from snakemake_executor_plugin_submitit import watch
from snakemake_executor_plugin_submitit.holder import holders
from snakemake_executor_plugin_submitit.registry import Entry, Registry, Submission
from snakemake_executor_plugin_submitit.scheduler import Local, Slurm, Unavailable


def find_jobs(
    registry: Registry, scheduler: Slurm | Local, cluster: str, wanted: Collection[str], say: Callable[[str], None]
) -> dict[str, Entry]:
    """Jobs that were submitted for this folder by a Snakemake that is gone, and that count for this one, by key.

    wanted: keys of the jobs that Snakemake is going to ask for. Of the found jobs, those that do not run any more and
    have left nothing new are forgotten; those that run and are not wanted are pointed out.
    """
    others = {holder.identity for holder in holders() if not holder.is_gone()}
    submissions = [one for one in registry.submissions() if one.cluster == cluster and one.holder not in others]
    for submission in submissions:
        _settle(submission, registry, scheduler, say)
    entries = [entry for one in submissions if one.job_id for entry in one.entries().values()]
    states = _insist(say, scheduler.states, {entry.job_id for entry in entries}) if entries else {}
    found, strangers, began = {}, [], psutil.Process().create_time()
    for entry in entries:
        state = states.get(entry.job_id)
        is_alive = state is not None and state.alive
        # One that ended well before this Snakemake looked at the files is none of its business any more.
        is_new = watch.succeeded(entry) and entry.result.stat().st_mtime >= began
        if not (is_alive or is_new):
            registry.close(entry, succeeded=watch.succeeded(entry))
        elif entry.key in wanted:
            entry.submission.holder = registry.holder
            registry.save(entry.submission)
            found[entry.key] = entry
        elif is_alive:
            strangers.append(entry.job_id)
    if strangers:
        say(
            f"{len(strangers)} jobs submitted from this folder are not part of this run and go on; "
            f"to end them: scancel {' '.join(strangers)}"
        )
    return found


def _settle(submission: Submission, registry: Registry, scheduler, say) -> None:
    """Settle a submission whose Snakemake was killed before it could write down the job's number."""
    if submission.job_id is not None:
        return
    submission.job_id = _insist(say, scheduler.with_comment, submission.comment)
    if submission.job_id is None or not all(entry.submitted.exists() for entry in submission.entries().values()):
        if submission.job_id is not None:
            # Killed before the job was given what to run: it would only wait for that in vain.
            _insist(say, scheduler.cancel, [submission.job_id])
        submission.over = set(submission.names)
    registry.save(submission)


def _insist(say: Callable[[str], None], question: Callable, *arguments):
    """Ask the scheduler until it answers."""
    pause_s = 2.0
    while True:
        try:
            return question(*arguments)
        except Unavailable as error:
            say(f"SLURM does not answer ({error}): asking again in {pause_s:.0f} s")
            time.sleep(pause_s)
            pause_s = min(60.0, 2 * pause_s)
