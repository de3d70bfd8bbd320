"""Snakemake logger: a bar with the time left in a terminal, a line per finished job elsewhere.

Chosen by `profiles/default/config.yaml`; `snakemake --logger dynamonet` anywhere else.
"""

import logging
import time
from collections import Counter, defaultdict
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text
from snakemake.logging import DefaultFormatter
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

LOG_TAIL_LINES = 8
REFERRAL = "For further error details see the cluster/cloud log and the log files of the involved rule(s)."
"""Snakemake's end of every message about a job on a cluster; the logs that it means are shown here."""


class Jobs:
    """Which jobs there are, which are done, and how long the rest will take."""

    def __init__(self, planned: dict[str, int]):
        self.planned = Counter(planned)
        self.began = time.monotonic()
        self.running: dict[int, tuple[str, str, float]] = {}
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def start(self, jobid: int, rule: str, wildcards: list[str]) -> None:
        self.running[jobid] = (rule, " ".join([rule, *wildcards]), time.monotonic())

    def finish(self, jobid: int) -> tuple[str, float]:
        """Name of the job and the seconds it took."""
        rule, name, began = self.running.pop(jobid)
        took_s = time.monotonic() - began
        self.seconds[rule].append(took_s)
        return name, took_s

    def left_s(self) -> float | None:
        """Seconds until the rest is done, if jobs go on taking as long and running as many at a time as so far."""
        finished = [seconds for times in self.seconds.values() for seconds in times]
        elapsed_s = time.monotonic() - self.began
        if not finished or elapsed_s <= 0:
            return None
        mean_s = sum(finished) / len(finished)
        work_s = 0.0
        for rule, count in self.planned.items():
            times = self.seconds[rule]
            work_s += (count - len(times)) * (sum(times) / len(times) if times else mean_s)
        started_s = sum(time.monotonic() - began for _, _, began in self.running.values())
        at_a_time = max(1.0, (sum(finished) + started_s) / elapsed_s)
        return max(0.0, work_s - started_s) / at_a_time


def clock(seconds: float | None) -> str:
    return "?" if seconds is None else str(timedelta(seconds=round(seconds)))


class LogHandler(LogHandlerBase):
    def __post_init__(self) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self.as_usual = DefaultFormatter(self.common_settings.quiet, self.common_settings.show_failed_logs)
        self.jobs = Jobs({})
        self.bar: Progress | None = None
        self.done = self.total = 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            event = getattr(record, "event", None)
            handle = {
                LogEvent.RUN_INFO: self._run_info,
                LogEvent.JOB_INFO: self._job_info,
                LogEvent.JOB_FINISHED: self._job_finished,
                LogEvent.JOB_ERROR: self._job_error,
                LogEvent.PROGRESS: self._progress,
            }.get(event, self._other)
            handle(record)
        except Exception:
            self.handleError(record)

    def _say(self, text: str) -> None:
        if text:
            self.console.print(Text(text))

    def _run_info(self, record) -> None:
        if self.total:
            return  # a dry run says it again at its end
        planned = {rule: count for rule, count in record.stats.items() if rule != "total"}
        self.jobs = Jobs(planned)
        self.total = sum(planned.values())
        self._say(f"{self.total} jobs: " + ", ".join(f"{count} {rule}" for rule, count in planned.items()))
        if self.console.is_terminal and not self.common_settings.dryrun:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("about {task.fields[left]} left"),
            )
            self.bar = Progress(*columns, console=self.console)
            self.task = self.bar.add_task("study", total=self.total, left="?")
            self.bar.start()

    def _job_info(self, record) -> None:
        wildcards = [str(value) for value in dict(record.wildcards or {}).values()]
        self.jobs.start(record.jobid, record.rule_name, wildcards)
        if self.common_settings.dryrun:
            self._say(" ".join([record.rule_name, *wildcards]))

    def _job_finished(self, record) -> None:
        if record.job_id not in self.jobs.running:
            return
        name, took_s = self.jobs.finish(record.job_id)
        self.done += 1
        left = clock(self.jobs.left_s())
        if self.bar:
            self._say(f"{name} ({took_s:.0f} s)")
            self.bar.update(self.task, completed=self.done, left=left)
        else:
            elapsed = clock(time.monotonic() - self.jobs.began)
            self._say(f"[{self.done}/{self.total}, {elapsed} gone, about {left} left] {name} ({took_s:.0f} s)")

    def _job_error(self, record) -> None:
        _, name, _ = self.jobs.running.pop(record.jobid, ("", record.rule_name, 0.0))
        self._say(f"FAILED: {name}")
        told = (record.rule_msg or "").removesuffix(REFERRAL).strip()
        self._say(told)
        for log in map(Path, record.log or []):
            if str(log) in told:
                continue
            if log.is_file():
                lines = log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
                self._say("\n".join(f"    {line}" for line in lines))
            self._say(f"    (the whole log: {log})")

    def _progress(self, record) -> None:
        if record.done >= record.total:
            self.close()

    def _other(self, record) -> None:
        nothing_to_do = str(record.msg).startswith("Nothing to be done")
        if record.levelno >= logging.WARNING or nothing_to_do or self.common_settings.verbose:
            self._say(self.as_usual.format(record))

    def close(self) -> None:
        if self.bar:
            self.bar.stop()
            self.bar = None
        super().close()

    @property
    def writes_to_stream(self) -> bool:
        return True

    @property
    def writes_to_file(self) -> bool:
        return False

    @property
    def has_filter(self) -> bool:
        return True

    @property
    def has_formatter(self) -> bool:
        return True

    @property
    def needs_rulegraph(self) -> bool:
        return False
