"""What a preparation found, as counts for its record and as a page to read."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from dynamonet.data.leaks import repeats_within_parts
from dynamonet.data.manifest import Manifest
from dynamonet.data.official import Difference
from dynamonet.data.survey import Survey

QUANTILES = {"min": 0.0, "p5": 0.05, "median": 0.5, "p95": 0.95, "max": 1.0}


def count_shard(survey: Survey) -> dict:
    """What one of several jobs that share a data set has found."""
    findings = survey.findings.values()
    return dict(
        files=len(findings),
        looked_at=len(survey.looked_at),
        failures=_by_frequency(finding.reason for finding in findings if finding.status != "ok"),
    )


def count(
    manifest: Manifest, survey: Survey, official: dict[str, Any] | None, differences: Sequence[Difference]
) -> dict:
    """The counts of a prepared data set, all of them JSON.

    `official` are those that its lists are to have, if any, and `differences` where they have others.
    """
    rows = manifest.rows
    unusable = rows[rows["status"] != "ok"]
    failed = rows[rows["status"].isin(["missing", "undecodable"])]
    usable = rows.drop(failed.index)
    parts = {(split, part): manifest.part(split, part) for split in manifest.splits for part in ("train", "test")}
    return dict(
        listed=len(rows),
        found=int((rows["status"] != "missing").sum()),
        decodable=len(usable),
        classes=len(manifest.classes),
        splits=_by_split({key: int((part["status"] == "ok").sum()) for key, part in parts.items()}),
        listed_by_split=_by_split({key: len(part) for key, part in parts.items()}),
        official=official,
        other_than_officially=[str(one) for one in differences],
        frames=int(usable["frames"].sum()),
        bytes=int(usable["bytes"].sum()),
        duration_h=round(float(usable["duration_s"].sum()) / 3600, 4),
        frames_per_video=_quantiles(usable["frames"]),
        short_side=_quantiles(usable[["width", "height"]].min(axis=1)),
        regular_clock=int((usable["pts_step"] > 0).sum()),
        groups=int(rows.loc[rows["group"] != "", "group"].nunique()),
        duplicates=dict(
            left_out_of_training=int((rows["status"] == "duplicate").sum()),
            kept_within_parts=repeats_within_parts(rows, manifest.splits),
        ),
        unusable=unusable[["id", "path", "status", "reason"]].to_dict("records"),
        failures=_by_frequency(failed["reason"]),
        copies=_copies(survey),
        looked_at=len(survey.looked_at),
        decoders=_by_frequency(finding.facts["decoder"] for finding in survey.findings.values() if finding.facts),
        manifest_sha256=manifest.sha256,
    )


def _copies(survey: Survey) -> dict | None:
    if survey.recipe is None:
        return None
    made = {finding.copy_file: finding.copy for finding in survey.findings.values() if finding.copy}
    means, least = ([copy[f"psnr_{kind}_db"] for copy in made.values()] for kind in ("mean", "min"))
    return dict(
        recipe=survey.recipe.model_dump(),
        folder=str(survey.copies_folder),
        estimate=survey.estimate,
        copied=sum(finding.copy is not None for finding in survey.findings.values()),
        files=len(made),
        bytes=sum(copy["bytes"] for copy in made.values()),
        psnr_mean_db=round(sum(means) / len(means), 2) if made else None,
        psnr_min_db=round(min(least), 2) if made else None,
        encoders=_by_frequency(copy["encoder"] for copy in made.values()),
    )


def _by_split(numbers: dict[tuple[int, str], int]) -> dict[str, dict[str, int]]:
    table: dict[str, dict[str, int]] = {}
    for (split, part), number in numbers.items():
        table.setdefault(str(split), {})[part] = number
    return table


def _quantiles(values: pd.Series) -> dict[str, float] | None:
    if values.empty:
        return None
    return {name: float(values.quantile(share, interpolation="nearest")) for name, share in QUANTILES.items()}


def _by_frequency(names: Iterable[str]) -> dict[str, int]:
    counted = Counter(names)
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def report(dataset: str, root: str, counts: dict) -> str:
    """The page `<dataset>.md`: all of the counts, and every file that is not used with its reason."""
    copies = counts["copies"]
    sections = [
        f"# Preparation of {dataset}\n\n`{root}`, manifest {counts['manifest_sha256'][:12]}",
        _videos(counts),
        "## Parts\n\n" + _parts(counts) + _other_than_officially(counts),
        "## Sizes\n\n" + _sizes(counts),
        "## Duplicates\n\n" + _duplicates(counts),
    ]
    if copies:
        sections.append("## Prepared copies\n\n" + _copies_section(copies))
    sections.append("## Decoders\n\n" + _tally(counts["decoders"], "Checked by", "Files"))
    sections.append("## Videos that are not used\n\n" + _unusable(counts))
    return "\n\n".join(sections) + "\n"


def _videos(counts: dict) -> str:
    copied = [("copied", counts["copies"]["copied"])] if counts["copies"] else []
    official = counts["official"] or {}
    rows = [
        ("listed", counts["listed"]),
        *([("listed officially", _beside(counts["listed"], official["listed"]))] if official else []),
        ("found", counts["found"]),
        ("decodable", counts["decodable"]),
        *copied,
        ("classes", counts["classes"]),
        *([("classes officially", _beside(counts["classes"], official["classes"]))] if official else []),
        ("groups", counts["groups"]),
        ("read from the middle, by regular time stamps", counts["regular_clock"]),
        ("frames", counts["frames"]),
        ("hours", f"{counts['duration_h']:.2f}"),
        ("GB", f"{counts['bytes'] / 1e9:.3f}"),
        ("looked at in this run, the others known before", counts["looked_at"]),
    ]
    return _table(("Videos", "Number"), rows)


def _parts(counts: dict) -> str:
    official = counts["official"] and counts["official"]["splits"]
    rows = []
    for split, parts in counts["splits"].items():
        for part, usable in parts.items():
            listed = counts["listed_by_split"][split][part]
            rows.append((split, part, _beside(listed, official[split][part]) if official else "-", listed, usable))
    source = f"\n\nOfficial: {counts['official']['source']}." if official else ""
    return _table(("Split", "Part", "Official", "Listed", "Usable"), rows) + source


def _other_than_officially(counts: dict) -> str:
    others = counts["other_than_officially"]
    return "\n\n**Other than officially listed:** " + "; ".join(others) + "." if others else ""


def _beside(listed: int, official: int) -> str:
    """The official number, marked where another is listed."""
    return f"{official}" if listed == official else f"**≠ {official}**"


def _sizes(counts: dict) -> str:
    rows = [
        (name, *(f"{value:g}" for value in (counts[key] or {}).values()))
        for name, key in (("frames", "frames_per_video"), ("short side of what is read, pixels", "short_side"))
    ]
    return _table(("Of a decodable video", *QUANTILES), rows)


def _duplicates(counts: dict) -> str:
    kept = counts["duplicates"]["kept_within_parts"]
    rows = [(split, part, number) for split, parts in kept.items() for part, number in parts.items()]
    left_out = counts["duplicates"]["left_out_of_training"]
    return (
        f"Left out of training because a test video of the same split has their content: {left_out}. Kept, with the"
        " content of another video of their part:\n\n" + _table(("Split", "Part", "Videos"), rows)
    )


def _copies_section(copies: dict) -> str:
    estimate = f"Estimated before: {copies['estimate']['text']}.\n\n" if copies["estimate"] else ""
    quality = (
        ""
        if copies["psnr_mean_db"] is None
        else f" PSNR {copies['psnr_mean_db']} dB, least {copies['psnr_min_db']} dB."
    )
    recipe = ", ".join(f"{name} {value}" for name, value in copies["recipe"].items())
    return (
        f"{recipe}, in `{copies['folder']}`.\n\n{estimate}Made: {copies['copied']} copies in {copies['files']} files of"
        f" {copies['bytes'] / 1e9:.3f} GB.{quality}\n\n" + _tally(copies["encoders"], "Encoded by", "Files")
    )


def _unusable(counts: dict) -> str:
    if not counts["unusable"]:
        return "None."
    files = [(_code(row["path"]), row["status"], row["reason"]) for row in counts["unusable"]]
    return _tally(counts["failures"], "Reason", "Videos") + "\n\n" + _table(("File", "Status", "Reason"), files)


def _tally(numbers: dict[str, int], name: str, unit: str) -> str:
    return _table((name, unit), numbers.items()) if numbers else "None."


def _code(text: str) -> str:
    return f"`{text}`"


def _table(head: Iterable[str], rows: Iterable[Iterable]) -> str:
    lines = [head, ["---"] * len(tuple(head)), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
