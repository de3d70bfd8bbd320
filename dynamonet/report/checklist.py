"""The reproducibility checklist, filled in from the records: what holds, what does not, and the evidence.

The questions are those of the checklists of NeurIPS and of Pineau et al. (JMLR 22, 2021), as far as records can answer.
"""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from dynamonet.records import Record
from dynamonet.report.arms import ARM
from dynamonet.report.collect import Study
from dynamonet.report.statistics import MINIMUM_N, independent_units
from dynamonet.report.table_files import Table

YES, PART, NO = "yes", "in part", "no"


class Answer(NamedTuple):
    item: str
    holds: str
    evidence: str


def checklist_table(study: Study) -> Table:
    answers = [answer for question in (_runs, _code, _data, _settings, _start) for answer in question(study)]
    tidy = pd.DataFrame(answers)
    readable = pd.DataFrame({"Item": a.item, "Holds": a.holds, "Evidence": a.evidence} for a in answers)
    return Table("checklist", "Reproducibility checklist", tidy, readable)


def _share(item: str, good: int, of: int, what: str) -> Answer:
    holds = YES if good == of > 0 else PART if good else NO
    return Answer(item, holds, f"{good} of {of} {what}")


def _runs(study: Study) -> Iterator[Answer]:
    runs = study.runs.drop_duplicates("run")
    finished = int((runs["state"] == "evaluated").sum())
    yield _share("Every planned run is there", finished, len(runs), "runs are evaluated")
    fresh = int(((runs["state"] == "evaluated") & (runs["stale"] == "")).sum())
    yield _share("No result is stale", fresh, finished, "evaluated runs follow from today's code and data")
    arms = study.runs.groupby(["experiment", "dataset", *ARM], sort=False)
    several = sum(independent_units(arm[arm["state"] == "evaluated"]) >= MINIMUM_N for _, arm in arms)
    what = f"rows have {MINIMUM_N} or more evaluated seeds, or splits where there is one seed"
    yield _share("Results have intervals", several, len(arms), what)


def _code(study: Study) -> Iterator[Answer]:
    fits = _fits(study)
    commits = Counter(fit.find("provenance.git_commit") for fit in fits)
    yield Answer(
        "One version of the code",
        YES if len(commits) == 1 and None not in commits else PART if commits else NO,
        ", ".join(f"{(commit or 'unknown')[:12]} ({count} runs)" for commit, count in commits.most_common())
        or "no run",
    )
    clean = sum(fit.find("provenance.git_dirty") is False for fit in fits)
    yield _share("No uncommitted changes", clean, len(fits), "runs were trained from a clean checkout")
    for item, read in (("One set of packages", _packages), ("One kind of device", _device)):
        kinds = Counter(map(read, fits))
        yield Answer(item, YES if len(kinds) == 1 else PART if kinds else NO, _listed(kinds))
    strict = sum(fit.find("provenance.determinism.tier") == "bit-identical" for fit in fits)
    yield _share("Bit-identical when repeated", strict, len(fits), "runs were trained on the deterministic tier")


def _data(study: Study) -> Iterator[Answer]:
    for name in study.datasets:
        manifest, item = study.manifests.get(name), f"{study.dataset_title(name)}: every listed video is used"
        if manifest is None:
            yield Answer(item, NO, "not prepared")
            continue
        listed, usable = (int(manifest.number(f"counts.{key}")) for key in ("listed", "decodable"))
        yield _share(item, usable, listed, f"videos decode; manifest {manifest.get('manifest_sha256')[:12]}")
    evaluated = study.runs[study.runs["state"] == "evaluated"].drop_duplicates("run")
    whole = int((evaluated["videos_scored"] == evaluated["videos_listed"]).sum())
    yield _share("Every listed test video is scored", whole, len(evaluated), "evaluations scored all")


def _settings(study: Study) -> Iterator[Answer]:
    runs = study.runs.drop_duplicates("run")["run"]
    resolved = sum((study.directory / "runs" / run / "spec.json").is_file() for run in runs)
    yield _share("All hyperparameters are written down", resolved, len(runs), "runs have their resolved spec.json")
    seeds = study.plan.get("seeds")
    yield Answer("Seeds are stated", YES, ", ".join(map(str, seeds)))
    splits = {name: dataset["splits"] for name, dataset in study.plan.get("datasets").items()}
    said = "; ".join(f"{study.dataset_title(name)}: {', '.join(map(str, own))}" for name, own in splits.items())
    yield Answer("Splits are stated", YES, said)


def _start(study: Study) -> Iterator[Answer]:
    started = [init for fit in _fits(study) if (init := fit.find("provenance.init")) is not None]
    known = sum(bool(init.get("weights_sha256")) for init in started)
    if started:
        yield _share("Initial weights are identified", known, len(started), "starts name the SHA-256 of their weights")


def _fits(study: Study) -> list[Record]:
    return [study.fits[run] for run in study.runs["run"].drop_duplicates() if run in study.fits]


def _packages(fit: Record) -> str:
    packages = fit.mapping("provenance.packages")
    return ", ".join(
        f"{name} {packages[name]}" for name in ("torch", "torchvision", "pytorchvideo", "av") if name in packages
    )


def _device(fit: Record) -> str:
    return fit.get("provenance.device")


def _listed(kinds: Counter) -> str:
    return "; ".join(f"{kind} ({count} runs)" for kind, count in kinds.most_common()) or "no run"
