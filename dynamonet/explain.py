"""Where two runs part, or a run and what it would be today: every difference, causes before effects. Free of torch."""

import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from dynamonet.code_files import CodeOnDisk, changed_code
from dynamonet.data.manifest import Manifest
from dynamonet.data.manifest_changes import ManifestChanges, find_manifest
from dynamonet.differences import ABSENT, differing, shown
from dynamonet.errors import UserError
from dynamonet.records import Record, installed_packages
from dynamonet.run_folder import STAGES, RunFolder, nearest, settings_between

KINDS = (
    *("setting", "code", "manifest", "initial weights", "package", "machine", "platform"),
    *("record", "log", "weights", "metric"),
)
"""In the order in which differences are told: what decides a result, then the result as it comes about."""
MAKES_STALE = ("setting", "code", "manifest", "initial weights", "weights")
"""Kinds of differences from today for which a result no longer counts as today's."""
LOGGED = ("loss", "loss_classification", "loss_prediction", "train_top1", "learning_rate")
"""What of a line of the log follows from the run; the rest is the machine's speed."""
MACHINE = ("device", "threads", "world_size", "batch_norm", "determinism")


@dataclass(frozen=True)
class Difference:
    """One thing that differs: its kind, of KINDS, what it is, and its values on both sides.

    stages: those whose records say so; none for what is the whole run's.
    """

    kind: str
    what: str
    a: Any
    b: Any
    stages: tuple[str, ...] = ()
    note: str = ""

    def __str__(self) -> str:
        said = self.note or f"{shown(self.a)} → {shown(self.b)}"
        return f"{self.what}: {said}" + (f" ({', '.join(self.stages)})" if self.stages else "")


@dataclass(frozen=True)
class Explanation:
    """a, b: what was compared. differences: the first one first. stale: against today, whether the result still is."""

    a: str
    b: str
    differences: list[Difference]
    stale: bool | None = None

    @property
    def identical(self) -> bool:
        return not self.differences

    def as_json(self) -> dict:
        """Plain values: a, b, identical, stale, and the differences in order."""
        return {**asdict(self), "identical": self.identical}


def explain(a: Path, b: Path) -> Explanation:
    """What differs between two run folders. Raises UserError for a folder without spec, and for a broken record."""
    left, right = RunFolder(a), RunFolder(b)
    found = _settings(left, right)
    for stage in STAGES:
        if (stage in left.records) != (stage in right.records):
            has = ["there" if stage in one.records else ABSENT for one in (left, right)]
            found.append(Difference("record", f"{stage}.json", *has))
    for stage in STAGES:
        if stage in left.records and stage in right.records:
            found += _provenance(stage, left.records[stage], right.records[stage].find("provenance") or {})
    found += _manifests(found, left, right)
    found += _log(left, right)
    found += _results(left, right)
    return Explanation(a.name, b.name, _in_order(found))


def explain_today(run: Path) -> Explanation:
    """What differs between a run and what the same run would be made from now: study, code, data, packages.

    Raises UserError for a folder without spec, and for a study whose study.json is gone.
    """
    done = RunFolder(run)
    planned = _planned(done)
    found = []
    if planned is None:
        found.append(Difference("setting", "the study", "has this run", "no longer plans it"))
    elif planned != run:
        found += _settings(done, RunFolder(planned))
    code, packages = CodeOnDisk(), installed_packages()
    manifest = Manifest.load(done.manifest_path).sha256 if done.manifest_path.is_file() else ABSENT
    for stage, record in done.records.items():
        recorded = record.find("provenance") or {}
        now = {
            "code": code.now(recorded.get("code", {})),
            "manifest_sha256": manifest,
            "packages": packages,
            "python": platform.python_version(),
            "platform": platform.platform(),
        }
        found += _provenance(stage, record, now)
    found += _manifests(found, done, done)
    found += _start_today(done)
    fit = done.records.get("fit")
    for stage, record in done.records.items():
        if fit is None or record.find("weights_sha256") != fit.find("weights_sha256"):
            left_by_fit = fit.find("weights_sha256") if fit else ABSENT
            found.append(Difference("weights", f"used by {stage}", record.find("weights_sha256"), left_by_fit))
    found = _in_order(found)
    stale = bool(done.records) and any(difference.kind in MAKES_STALE for difference in found)
    return Explanation(run.name, "today", found, stale)


def _planned(done: RunFolder) -> Path | None:
    """The folder of the run that the study plans in the place of this one, which may be itself."""
    plan = done.study_dir / "study.json"
    if not plan.is_file():
        raise UserError(f"{plan} does not exist: name a second run to compare with")
    experiments = Record.read(plan).get("experiments").values()
    names = dict.fromkeys(run["run"] for experiment in experiments for run in experiment["runs"])
    if done.path.name in names:
        return done.path
    return nearest(done.path, (done.path.parent / name for name in names))


def _settings(left: RunFolder, right: RunFolder) -> list[Difference]:
    changes = settings_between(left.path, right.path)
    return [Difference("setting", key, *pair) for key, pair in changes.items()]


def _provenance(stage: str, record: Record, b: dict) -> Iterator[Difference]:
    """Differences of one stage between a record's provenance and `b`; what either does not say is not compared."""
    a = record.find("provenance") or {}
    code_a, code_b = a.get("code"), b.get("code")
    if code_a is None or code_b is None:
        yield Difference("code", "files", code_a and "recorded", code_b and "recorded", (stage,))
    else:
        for file in changed_code(code_a, code_b):
            yield Difference("code", file, code_a[file], code_b[file], (stage,))
    for side, provenance in (("the first", a), ("the second", b)):
        for file in provenance.get("resumed_with_changed", ()):
            yield Difference("code", file, None, None, (stage,), f"changed before {side} was resumed")
    kinds = {"manifest_sha256": "manifest", "packages": "package", "python": "platform", "platform": "platform"}
    kinds |= {"init": "initial weights"} | dict.fromkeys(MACHINE, "machine")
    for key, kind in kinds.items():
        if key not in a or key not in b:
            continue
        pairs = differing({key: a[key]}, {key: b[key]})
        for name, pair in pairs.items():
            if key != "init" or name in ("init.run", "init.checkpoint", "init.weights_sha256"):
                yield Difference(kind, name.removeprefix("packages."), *pair, (stage,))


def _manifests(found: list[Difference], left: RunFolder, right: RunFolder) -> list[Difference]:
    """The same differences again where a manifest's hash differs and both manifests are at hand: with the videos."""
    named = []
    for difference in [one for one in found if one.kind == "manifest"]:
        found.remove(difference)
        sides = [difference.a, difference.b]
        manifests = []
        for sha256 in sides:
            places = dict.fromkeys((left.manifest_path, right.manifest_path))
            manifests.append(next(filter(None, (find_manifest(path, sha256) for path in places)), None))
        note = str(ManifestChanges.between(*manifests)) if all(manifests) else ""
        named.append(Difference("manifest", "manifest hash", *sides, difference.stages, note))
    return named


def _start_today(done: RunFolder) -> list[Difference]:
    """Whether the run that this one started from still has the weights that it gave, and is not stale itself."""
    fit = done.records.get("fit")
    init = fit.find("provenance.init") if fit else None
    if init is None or "run" not in init:
        return []
    parent = done.path.parent / init["run"]
    path = parent / "fit.json"
    weights = Record.read(path).get("weights_sha256") if path.is_file() else ABSENT
    if weights != init["weights_sha256"]:
        return [Difference("initial weights", parent.name, init["weights_sha256"], weights)]
    before = explain_today(parent)
    if not before.stale:
        return []
    first = next(one for one in before.differences if one.kind in MAKES_STALE)
    return [Difference("initial weights", parent.name, None, None, (), f"is stale: {first.kind} {first}")]


def _log(left: RunFolder, right: RunFolder) -> Iterator[Difference]:
    """The first step at which the logged values differ."""
    a, b = left.log(), right.log()
    agreed = None
    for step in sorted(a.keys() & b.keys()):
        values = {key: (a[step].get(key), b[step].get(key)) for key in LOGGED}
        if unequal := {key: pair for key, pair in values.items() if pair[0] != pair[1]}:
            since = "the first that is logged" if agreed is None else f"the same up to step {agreed}"
            said = ", ".join(f"{key} {shown(x)} → {shown(y)}" for key, (x, y) in unequal.items())
            sides = [{key: pair[side] for key, pair in unequal.items()} for side in (0, 1)]
            yield Difference("log", f"step {step}", *sides, (), f"{said} ({since})")
            return
        agreed = step
    if a.keys() != b.keys():
        yield Difference("log", "last step", max(a, default=ABSENT), max(b, default=ABSENT))


def _results(left: RunFolder, right: RunFolder) -> Iterator[Difference]:
    for stage in STAGES:
        if stage not in left.records or stage not in right.records:
            continue
        a, b = left.records[stage], right.records[stage]
        weights = a.find("weights_sha256"), b.find("weights_sha256")
        if stage == "fit" and weights[0] != weights[1]:
            yield Difference("weights", "final weights", *weights)
        if stage != "fit":
            for key, pair in differing(a.find("metrics") or {}, b.find("metrics") or {}).items():
                yield Difference("metric", key, *pair, (stage,))


def _in_order(found: list[Difference]) -> list[Difference]:
    """By kind; what the records of several stages say alike is one difference."""
    merged: dict[str, Difference] = {}
    for one in found:
        key = str((one.kind, one.what, one.a, one.b, one.note))
        stages = (*merged[key].stages, *one.stages) if key in merged else one.stages
        merged[key] = Difference(one.kind, one.what, one.a, one.b, stages, one.note)
    return sorted(merged.values(), key=lambda one: KINDS.index(one.kind))


def show(explanation: Explanation, console: Console) -> None:
    """Print it: the first difference, then all of them."""
    a, b, differences = explanation.a, explanation.b, explanation.differences
    if explanation.stale is not None:
        console.print(Text(f"{a}: {'stale' if explanation.stale else 'not stale'}", "bold"))
    if not differences:
        console.print(Text(f"{a} and {b}: identical", "green"))
        return
    console.print(Text(f"{a} → {b}: the first of {len(differences)} differences is in the {differences[0].kind}"))
    for number, one in enumerate(differences):
        console.print(Text.assemble((f"  {one.kind:<16}", "cyan"), (str(one), "" if number else "bold")))
