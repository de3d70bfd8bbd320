"""The page: one self-contained report.html."""

import base64
from collections import Counter
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from dynamonet.records import Record
from dynamonet.report.collect import Study
from dynamonet.report.drawing import DPI, Drawing
from dynamonet.report.page_failures import study_failures
from dynamonet.report.page_records import row_records, study_facts
from dynamonet.report.table_files import Table

CSS_DPI = 96
LEGIBLE = 0.75
"""A narrower window scrolls a figure rather than draw it smaller than this share of its nominal size."""
SHORT = 12
VERDICT_CLASSES = {"helps": "helps", "hurts": "hurts", "not distinguishable": "even"}


def render_page(
    study: Study, tables: dict[str, Table | None], drawings: list[Drawing], pictures: dict[str, bytes]
) -> str:
    """pictures: the PNG of each drawing that has an image, by its key."""
    environment = Environment(
        loader=PackageLoader("dynamonet.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    runs = study.runs.drop_duplicates("run")
    rows = {key: row_records(study, table) for key, table in tables.items() if table is not None}
    return environment.get_template("report.html.j2").render(
        title=study.plan.get("title"),
        description=study.plan.get("description"),
        name=study.plan.get("name"),
        experiments=[_experiment(study, name) for name in study.experiments],
        run_states=Counter(runs["state"]),
        runs_planned=len(runs),
        runs_stale=int((runs["stale"] != "").sum()),
        effects=_effects(tables["effects"]),
        tables=tables,
        rows=rows,
        records=study_facts(study).as_script(rows),
        drawings={drawing.key: drawing for drawing in drawings},
        pictures={key: _picture(png) for key, png in pictures.items()},
        failures=study_failures(study),
        environments=_environments(study),
    )


def _picture(png: bytes) -> dict[str, Any]:
    """The bytes as text, the width at which its letters have their nominal size, and the least to read them at."""
    width_px = int.from_bytes(png[16:20]) * CSS_DPI / DPI  # of the IHDR chunk, which every PNG starts with
    return {
        "base64": base64.b64encode(png).decode(),
        "width_px": round(width_px),
        "least_width_px": round(LEGIBLE * width_px),
    }


def _experiment(study: Study, name: str) -> dict[str, Any]:
    runs = study.runs[study.runs["experiment"] == name]
    evaluated = int((runs["state"] == "evaluated").sum())
    claim = study.experiments[name].get("claim", "")
    return {"name": name, "claim": claim, "evaluated": evaluated, "planned": len(runs)}


def _effects(table: Table | None) -> list[dict[str, Any]]:
    """The readable rows, each with the style class of its verdict."""
    if table is None:
        return []
    verdicts = table.tidy["verdict"]
    rows = table.readable.to_dict("records")
    return [{"kind": VERDICT_CLASSES.get(verdict, "open"), **row} for verdict, row in zip(verdicts, rows, strict=True)]


def _environments(study: Study) -> list[dict[str, Any]]:
    """The distinct machines, package sets and commits that fitted the runs, and how many each did; most first."""
    counts = Counter(_environment(record) for record in study.fits.values())
    return [{**dict(environment), "runs": runs} for environment, runs in counts.most_common()]


def _environment(fit: Record) -> tuple[tuple[str, str], ...]:
    packages = sorted(fit.mapping("provenance.packages").items())
    changes = " with uncommitted changes" if fit.find("provenance.git_dirty") else ""
    return (
        ("device", fit.get("provenance.device")),
        ("platform", fit.find("provenance.platform") or "platform not recorded"),
        ("python", fit.get("provenance.python")),
        ("commit", (fit.find("provenance.git_commit") or "not recorded")[:SHORT] + changes),
        ("packages", "; ".join(f"{name} {version or 'absent'}" for name, version in packages)),
    )
