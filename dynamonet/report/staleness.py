"""Which results no longer follow from the code, data and settings that there are now, and why."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path

from dynamonet.code_files import CodeOnDisk, changed_code
from dynamonet.differences import differing, listed, shown
from dynamonet.records import Record
from dynamonet.run_folder import identity, nearest, settings_between


def other_code(record: Record, code: CodeOnDisk) -> str | None:
    """How the code that a record's stage ran differs from that of now; None if it does not."""
    recorded = record.find("provenance.code")
    if recorded is None:
        return "its record does not say which code it ran"
    changed = changed_code(recorded, code.now(recorded))
    return f"other code: {listed(changed)}" if changed else None


def other_network(record: Record, plan: Record, model: str) -> str | None:
    """How the network, clip or views that a measurement is of differ from the planned ones; None if they do not."""
    recorded, every = record.find("measured"), plan.find("measured")
    if recorded is None or every is None:
        return f"{'its record' if recorded is None else 'study.json'} does not say what is measured: write it again"
    planned = {key: plan.get("models")[model][key] for key in ("build", "options", "clip")} | every
    changes = differing(recorded, planned)
    said = [f"{key} {shown(a)} → {shown(b)}" for key, (a, b) in changes.items()]
    return f"settings changed: {', '.join(said)}" if said else None


class Staleness:
    """Why the records of a study's runs no longer follow from what they were made from.

    datasets: the data set of each run; manifests: the hash of that of each data set; fits, evaluations: by run; all as
    far as there are any.
    """

    def __init__(
        self,
        datasets: dict[str, str],
        manifests: dict[str, str],
        fits: dict[str, Record],
        evaluations: dict[str, Record],
        code: CodeOnDisk,
    ):
        self.datasets, self.manifests, self.fits, self.evaluations = datasets, manifests, fits, evaluations
        self.code = code
        self._of_fit: dict[str, list[str]] = {}

    def reasons(self, run: str) -> list[str]:
        """Of a run that has been fitted or evaluated; empty when all of it is as it would be now."""
        fit, evaluation = self.fits.get(run), self.evaluations.get(run)
        if fit is None:
            return ["evaluated, but fit.json is gone"]
        reasons = list(self._fit_reasons(run))
        if evaluation is None:
            return reasons
        if self._on_another_manifest(run, evaluation):
            reasons.append("evaluated on another manifest")
        if evaluation.get("weights_sha256") != fit.get("weights_sha256"):
            reasons.append("evaluated other weights than the fit left")
        if code := other_code(evaluation, self.code):
            if (fitted := f"fitted: {code}") in reasons:
                reasons[reasons.index(fitted)] = f"fitted and evaluated: {code}"
            else:
                reasons.append(f"evaluated: {code}")
        return reasons

    def _fit_reasons(self, run: str) -> list[str]:
        if run not in self._of_fit:
            self._of_fit[run] = list(self._of_the_fit(run))
        return self._of_fit[run]

    def _of_the_fit(self, run: str) -> Iterable[str]:
        fit = self.fits[run]
        if self._on_another_manifest(run, fit):
            yield "fitted on another manifest"
        init = fit.find("provenance.init")
        if init is not None and "run" in init:  # a checkpoint that others released is named by its checksum
            parent = self.fits.get(init["run"])
            if parent is None or parent.get("weights_sha256") != init["weights_sha256"]:
                yield f"started from other weights than {init['run']} has now"
            elif self._fit_reasons(init["run"]):
                yield f"started from {init['run']}, which is stale"
        if code := other_code(fit, self.code):
            yield f"fitted: {code}"
        if changed := fit.find("provenance.resumed_with_changed"):
            yield f"fitted in parts by different code: {listed(changed)}"

    def _on_another_manifest(self, run: str, record: Record) -> bool:
        manifest = self.manifests.get(self.datasets[run])
        return manifest is None or manifest != record.find("provenance.manifest_sha256")


def settings_changed(runs_dir: Path, planned: Collection[str], missing: Iterable[str]) -> dict[str, str]:
    """Of the runs that are missing, those that were done with other settings: what is set otherwise now.

    They are told by the finished runs that the study no longer plans.
    """
    missing, former = list(missing), defaultdict(list)
    if missing and runs_dir.is_dir():
        for folder in sorted(runs_dir.iterdir()):
            if folder.name not in planned:
                former[identity(folder.name)].append(folder)
    found = {}
    for run in missing:
        folder = nearest(runs_dir / run, (old for old in former[identity(run)] if (old / "fit.json").is_file()))
        if folder is not None:
            changes = settings_between(folder, runs_dir / run)
            said = ", ".join(f"{key} {shown(a)} → {shown(b)}" for key, (a, b) in changes.items())
            found[run] = f"settings changed: {said} (finished: {folder.name})"
    return found
