"""`dynamonet doctor`: what of machine, cluster and data is not as a study needs it, and what mends that.

Whatever may hang (a driver, a library that loads, a file system) is asked in a process of its own, for so long and no
longer.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text

from dynamonet.doctor.cluster import check_cluster
from dynamonet.doctor.decoding import check_decoding
from dynamonet.doctor.device import check_device
from dynamonet.doctor.environment import check_environment
from dynamonet.doctor.finding import OK, PROBLEM, WARNING, Finding, NoAnswer, answer
from dynamonet.expansion import Expansion
from dynamonet.files import write_json
from dynamonet.planning.profile import Profile
from dynamonet.planning.workload import downloads
from dynamonet.study_schema import RELEASED_FOLDER, Study

COLOURS = {OK: "green", WARNING: "yellow", PROBLEM: "red"}
DATA_WITHIN_S = 300.0
"""For the lists and some files of one data set."""

__all__ = ("OK", "PROBLEM", "WARNING", "Finding", "examine", "show")


def examine(study: Study | None, expansion: Expansion | None, profile: Profile | None) -> list[Finding]:
    """Every check, in order; without a study, those of the machine alone."""
    precisions = sorted({run.execution.precision for run in expansion.runs.values()}) if expansion else []
    on_cluster = profile is not None and profile.is_slurm
    findings = [
        *_guarded("environment", check_environment),
        *_guarded("gpu", lambda: check_device(precisions, on_cluster)),
        *_guarded("video", lambda: check_decoding(study and study.reader)),
        *_guarded("slurm", lambda: check_cluster(profile, study.threads if study else 1)),
    ]
    if study is None:
        return findings
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "study.json")
        write_json(file, study.model_dump(mode="json"))
        for dataset in study.datasets:
            findings += _apart("data", f"data set {dataset}", file, "dataset", dataset)
        findings += _apart("data", "checkpoints", file, "checkpoints")
        findings += _apart("disk", "the results' folder", file, "storage", "cluster" if on_cluster else "here")
    for path in downloads(study, expansion):
        if path.parent == RELEASED_FOLDER:  # the study's own are checked above
            says = f"released weights {path} are not there yet: they are got where Snakemake runs"
            findings.append(Finding("data", OK, says))
    return findings


def _guarded(subject: str, check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """What a check finds; one that fails is a finding itself, and the others go on."""
    try:
        yield from check()
    except Exception as error:
        says = f"could not be examined: {type(error).__name__}: {error}"
        yield Finding(subject, PROBLEM, says, "report it with this message")


def _apart(subject: str, what: str, *arguments: object) -> list[Finding]:
    """What `python -m dynamonet.doctor` finds, in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-m", "dynamonet.doctor", *map(str, arguments)]
    try:
        return [Finding(**one) for one in json.loads(answer(command, DATA_WITHIN_S))]
    except NoAnswer as error:
        says = f"{what}: no answer ({error})"
        return [Finding(subject, PROBLEM, says, "see whether its file system answers: df -h")]


def show(findings: list[Finding], console: Console) -> None:
    """Print one line for each finding, what mends it below, and the counts."""
    for one in findings:
        head = (f"{one.state:<8}", COLOURS[one.state])
        console.print(Text.assemble(head, f"{one.subject:<12}{one.says}"))
        if one.mend:
            console.print(Text(f"{'':20}→ {one.mend}", "dim"))
    counts = {state: sum(one.state == state for one in findings) for state in COLOURS}
    console.print(", ".join(f"{count} {state}" for state, count in counts.items()))
