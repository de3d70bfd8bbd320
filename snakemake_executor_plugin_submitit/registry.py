"""Which job was submitted for which files: written before and after every sbatch, read by the next Snakemake.

One small file per submission, `open/<id>.json`, as long as one of its jobs is not known to be over. A submission
is written down before it is made and carries its id as the job's comment, so that a Snakemake killed between the
two leaves nothing that cannot be found.
"""

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

COMMENT = "snakemake-submitit:"


def job_key(outputs: Iterable[str], target: str) -> str:
    """Identity of a Snakemake job: the files that it makes, or its rule and wildcards where it makes none."""
    text = "\n".join(sorted(outputs)) or target
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass
class Submission:
    """One call of sbatch: one job, or the tasks of a job array."""

    id: str
    rule: str
    cluster: str
    holder: str
    """The Snakemake that waits for it."""
    folder: Path
    """Logs, journals and submitit's own files."""
    names: dict[str, str]
    """Readable name of each job, by its key, in the order of the array."""
    job_id: str | None = None
    over: set[str] = field(default_factory=set)
    """Keys of jobs that need not be found again."""

    @property
    def comment(self) -> str:
        return COMMENT + self.id

    def entries(self) -> dict[str, "Entry"]:
        """The jobs that are not known to be over, by key."""
        return {key: Entry(self, key) for key in self.names if key not in self.over}


@dataclass
class Entry:
    """One submitted job."""

    submission: Submission
    key: str

    @property
    def index(self) -> int:
        return list(self.submission.names).index(self.key)

    @property
    def name(self) -> str:
        return self.submission.names[self.key]

    @property
    def job_id(self) -> str:
        """SLURM's id: `12`, or `12_3` for a task of an array."""
        job_id = self.submission.job_id
        return f"{job_id}_{self.index}" if len(self.submission.names) > 1 else str(job_id)

    @property
    def submitted(self) -> Path:
        return self.submission.folder / f"{self.job_id}_submitted.pkl"

    @property
    def result(self) -> Path:
        """Exists once the job has ended well (or, where submitit could tell, badly)."""
        return self.submission.folder / f"{self.job_id}_0_result.pkl"

    @property
    def log(self) -> Path:
        return self.submission.folder / f"{self.job_id}_0_log.out"

    @property
    def journal(self) -> Path:
        return self.submission.folder / f"{self.index}.journal.jsonl"


class Registry:
    """The submissions of a working folder, whoever made them."""

    def __init__(self, root: Path, holder: str):
        self.root, self.holder = Path(root).absolute(), holder
        self.open = self.root / "open"
        self.open.mkdir(parents=True, exist_ok=True)

    def new(self, rule: str, cluster: str, names: dict[str, str]) -> Submission:
        """Write down a submission that is about to be made, and make its folder."""
        identity = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
        submission = Submission(identity, rule, cluster, self.holder, self.root / rule / identity, names)
        submission.folder.mkdir(parents=True)
        self.save(submission)
        return submission

    def save(self, submission: Submission) -> None:
        """Write a submission, or remove it if all its jobs are over."""
        path = self.open / f"{submission.id}.json"
        if submission.over >= submission.names.keys():
            path.unlink(missing_ok=True)
            return
        content = {**vars(submission), "folder": str(submission.folder), "over": sorted(submission.over)}
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        with temporary.open("w") as file:
            json.dump(content, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    def close(self, entry: Entry, succeeded: bool) -> None:
        """Note that a job is over; of one that succeeded only the log is kept."""
        entry.submission.over.add(entry.key)
        self.save(entry.submission)
        if succeeded:
            for path in (entry.submitted, entry.result, entry.journal):
                path.unlink(missing_ok=True)
            if entry.submission.over >= entry.submission.names.keys():
                for path in entry.submission.folder.glob("*.pkl"):
                    path.unlink(missing_ok=True)

    def unsettled(self) -> list[Submission]:
        """Submissions of this Snakemake whose job has no number yet."""
        return [one for one in self.submissions() if one.holder == self.holder and one.job_id is None]

    def submissions(self) -> list[Submission]:
        """Every open submission, oldest first."""
        found = []
        for path in sorted(self.open.glob("*.json")):
            with contextlib.suppress(FileNotFoundError):  # another Snakemake has just closed it
                content = json.loads(path.read_text())
                content.update(folder=Path(content["folder"]), over=set(content["over"]))
                found.append(Submission(**content))
        return found
