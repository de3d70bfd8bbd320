"""The page: one self-contained report.html."""

import base64
from collections import Counter
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from dynamonet.report.collect import Study
from dynamonet.report.drawing import DPI, Drawing
from dynamonet.report.table_files import Table

CSS_DPI = 96
VERDICT_CLASSES = {"helps": "helps", "hurts": "hurts", "not distinguishable": "even"}


def render_page(
    study: Study, tables: dict[str, Table | None], drawings: list[Drawing], pictures: dict[str, bytes]
) -> str:
    environment = Environment(
        loader=PackageLoader("dynamonet.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    runs = study.runs.drop_duplicates("run")
    return environment.get_template("report.html.j2").render(
        title=study.plan.get("title"),
        description=study.plan.get("description"),
        name=study.plan.get("name"),
        experiments=[_experiment(study, name) for name in study.experiments],
        run_states=Counter(runs["state"]),
        runs_planned=len(runs),
        runs_stale=int((runs["stale"] != "").sum()),
        claims=_claims(tables["claims"]),
        tables=tables,
        drawings={drawing.key: drawing for drawing in drawings},
        pictures={key: _picture(png) for key, png in pictures.items()},
        unusable=_unusable(study),
        environments=_environments(tables["runs"]),
    )


def _picture(png: bytes) -> dict[str, Any]:
    """The bytes as text, and the width at which the figure's letters have their nominal size."""
    width_px = int.from_bytes(png[16:20])  # of the IHDR chunk, which every PNG starts with
    return {"base64": base64.b64encode(png).decode(), "width_px": round(width_px * CSS_DPI / DPI)}


def _experiment(study: Study, name: str) -> dict[str, Any]:
    runs = study.runs[study.runs["experiment"] == name]
    evaluated = int((runs["state"] == "evaluated").sum())
    claim = study.experiments[name].get("claim", "")
    return {"name": name, "claim": claim, "evaluated": evaluated, "planned": len(runs)}


def _claims(table: Table | None) -> list[dict[str, Any]]:
    """The readable rows, each with the style class of its verdict."""
    if table is None:
        return []
    verdicts = table.tidy["verdict"]
    rows = table.readable.to_dict("records")
    return [{"kind": VERDICT_CLASSES.get(verdict, "open"), **row} for verdict, row in zip(verdicts, rows, strict=True)]


def _unusable(study: Study) -> list[dict[str, str]]:
    return [
        {"dataset": study.dataset_title(name), "id": video["id"], "reason": video["reason"]}
        for name, manifest in study.manifests.items()
        for video in manifest.find("counts.unusable") or []
    ]


def _environments(runs: Table) -> list[dict[str, Any]]:
    """The distinct machines and package sets that fitted the runs, and how many each did."""
    fitted = runs.tidy[runs.tidy["state"] != "planned"]
    counts = fitted.groupby(["device", "python", "packages"]).size()
    return [
        {"device": device, "python": python, "packages": packages, "runs": int(count)}
        for (device, python, packages), count in counts.items()
    ]
