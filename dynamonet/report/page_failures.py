"""What went wrong in a study, for the page: runs without a result, interruptions, stale results, unusable videos."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from dynamonet.report.collect import Study
from dynamonet.report.page_records import attempt_text

VIDEOS_SHOWN = 200
UNFINISHED = {
    "planned": "not fitted; `dynamonet status` says whether that waits, runs or failed",
    "fitted": "fitted, not evaluated; `dynamonet status` says whether that waits, runs or failed",
}


@dataclass(frozen=True)
class Unusable:
    """The listed videos of a data set that cannot be used: how many, how many for each reason, and the first ones."""

    title: str
    total: int
    reasons: dict[str, int]
    shown: list[dict[str, Any]]
    file: str


@dataclass(frozen=True)
class Failures:
    """missing, stale: runs by reason; interrupted: run -> what each attempt did, of runs with more than one."""

    missing: dict[str, list[str]]
    stale: dict[str, list[str]]
    interrupted: dict[str, list[str]]
    unusable: list[Unusable]


def study_failures(study: Study) -> Failures:
    missing, stale = defaultdict(list), defaultdict(list)
    for run in study.runs.drop_duplicates("run").to_dict("records"):
        if run["state"] != "evaluated":
            missing[run["settings_changed"] or UNFINISHED[run["state"]]].append(run["run"])
        if run["stale"]:
            stale[run["stale"]].append(run["run"])
    attempts = {run: record.find("provenance.attempts") or [] for run, record in study.fits.items()}
    interrupted = {run: [attempt_text(one) for one in tries] for run, tries in attempts.items() if len(tries) > 1}
    unusable = [_unusable(study, name) for name in study.manifests if study.manifests[name].find("counts.unusable")]
    return Failures(dict(missing), dict(stale), interrupted, unusable)


def _unusable(study: Study, dataset: str) -> Unusable:
    videos = study.manifests[dataset].get("counts.unusable")
    reasons: dict[str, int] = defaultdict(int)
    for video in videos:
        reasons[video["reason"]] += 1
    most_first = dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
    return Unusable(
        study.dataset_title(dataset), len(videos), most_first, videos[:VIDEOS_SHOWN], f"manifests/{dataset}.json"
    )
