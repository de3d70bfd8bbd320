"""A Snakemake profile as it is on disk: what each rule's jobs ask for. Free of torch and of Snakemake."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dynamonet.errors import UserError
from dynamonet.study import read_config

FILES = ("profile.yaml", "config.yaml")
LOCAL, DEFAULT = "none", Path("slurm")
"""The name that stands for no profile, and the profile that ships."""


@dataclass(frozen=True)
class Profile:
    """jobs: at most so many at once. path: None where jobs run on this machine, without a profile."""

    path: Path | None
    jobs: int
    executor: str = "local"
    defaults: Mapping[str, Any] = field(default_factory=dict)
    of_rule: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return LOCAL if self.path is None else str(self.path)

    @property
    def is_slurm(self) -> bool:
        """Whether jobs go to SLURM."""
        return self.executor in ("submitit", "slurm")

    def resources(self, rule: str) -> dict[str, Any]:
        """What a job of the rule asks for; empty without a profile."""
        return {**self.defaults, **self.of_rule.get(rule, {})}

    def number(self, rule: str, resource: str, default: int) -> int:
        """Raises UserError for a resource of the rule that is no whole number."""
        value = self.resources(rule).get(resource, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise UserError(f"{self.path}: {resource} of rule {rule} is {value!r}: give a whole number")
        return value

    def processes(self, rule: str) -> int:
        """Processes that share a job of the rule, one per GPU where it has some."""
        return self.number(rule, "tasks", self.number(rule, "nodes", 1))

    def devices(self, rule: str) -> int:
        """GPUs that a job of the rule holds, or processes where it asks for none."""
        return self.number(rule, "gpu", 0) or self.processes(rule)


def read_profile(name: str | None, study_file: Path, threads: int) -> Profile:
    """The profile of that name, `slurm` or a folder.

    None: the one that ships, if its `configfile` is this study, else none. threads: of a job, where there is no
    profile: as many jobs run at once as have cores of this machine. Raises UserError for one that is not there or is
    none.
    """
    if name is None:
        shipped = _file(DEFAULT)
        own = shipped and read_config(shipped).get("configfile")
        name = str(DEFAULT) if own and Path(own).resolve() == Path(study_file).resolve() else LOCAL
    if name == LOCAL:
        return Profile(None, max(1, len(os.sched_getaffinity(0)) // threads))
    file = _file(Path(name))
    if file is None:
        raise UserError(f"the profile {name} is not there: name a folder with a {' or '.join(FILES)}, or {LOCAL}")
    content = read_config(file)
    for key in ("default-resources", "set-resources"):
        if not isinstance(content.get(key) or {}, dict):
            raise UserError(f"{file}: write {key} as a mapping, as slurm/profile.yaml does")
    jobs = content.get("jobs", content.get("cores", 1))
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
        raise UserError(f"{file}: jobs is {jobs!r}: give the number of jobs that may be there at once")
    return Profile(
        file,
        jobs,
        content.get("executor", "local"),
        content.get("default-resources") or {},
        content.get("set-resources") or {},
    )


def _file(folder: Path) -> Path | None:
    return next((folder / name for name in FILES if (folder / name).is_file()), None)
