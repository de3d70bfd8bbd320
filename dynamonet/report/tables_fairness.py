"""What each row of a comparison was given: start, input, test views, recipe and budget, and where the rows differ."""

from typing import Any

import pandas as pd

from dynamonet.report.collect import Study, init_title
from dynamonet.report.table_files import NOT_APPLICABLE, Table, number

INPUT, VIEWS, START, BUDGET, BEFORE = "input", "test views", "start", "clips seen", "clips seen before"
EQUAL = "nothing"
SCRATCH = "scratch"


def fairness_table(study: Study) -> Table:
    """One block per experiment; each row is compared with the first one that is listed."""
    rows = []
    for name, experiment in study.experiments.items():
        if not experiment["runs"]:
            continue
        runs = {(run["model"], run["init"], run["label_fraction"]): run for run in reversed(experiment["runs"])}
        given = [_given(study, run) for run in reversed(runs.values())]
        rows += [_row(study, name, run, of, given[0]) for run, of in zip(reversed(runs.values()), given, strict=True)]
    tidy = pd.DataFrame(rows)
    readable = pd.DataFrame(
        {
            "Experiment": row["experiment"],
            "Model": row["title"],
            "Start": row["start"],
            "Input (frames × stride × crop px)": row["input"],
            "Test views": row["test_views"],
            "Recipe": row["recipe"] or NOT_APPLICABLE,
            "Clips seen before": number(row["clips_seen_before"], 0),
            "Clips seen": number(row["clips_seen"], 0),
            "Differs from the first row in": row["differs"],
        }
        for row in tidy.to_dict("records")
    )
    notes = [
        "Clips seen: optimiser updates × batch; before: in the runs it starts from (released weights: unknown).",
        "A recipe that a model overrides is marked with +; the last column names every setting that differs.",
        *(f"Left out: {problem}." for problem in (study.plan.find("broken_baselines") or {}).values()),
    ]
    return Table("fairness", "What the rows were given", tidy, readable, notes)


def _given(study: Study, run: dict[str, Any]) -> dict[str, Any]:
    """Every setting of a run that could make a comparison unfair, by its name."""
    model, views = study.plan.get("models")[run["model"]], run["views"]
    clip = model["clip"]
    crop = views.get("crop") or clip["crop"]
    size = f"short side {views.get('short_side') or crop} px"
    if views.get("frame"):
        size = "frames of {} × {} px".format(*views["frame"])
    settings: dict[str, Any] = {
        START: init_title(run["init"]),
        INPUT: " × ".join(str(clip[part]) for part in ("frames", "stride", "crop")),
        VIEWS: f"{views['clips']} × {views['crops']} of {crop} px, {size}",
        "label fraction": run["label_fraction"],
        BEFORE: _clips_before(study, run),
    }
    if run["recipe"] is not None:
        recipe = _recipe(study, run)
        settings |= {BUDGET: recipe["steps"] * recipe["batch_size"], **recipe}
    return settings


def _recipe(study: Study, run: dict[str, Any]) -> dict[str, Any]:
    return {**study.plan.get("recipes")[run["recipe"]], **study.plan.get("models")[run["model"]]["recipe_overrides"]}


def _clips_before(study: Study, run: dict[str, Any]) -> float:
    """Clips that the weights which the run starts from have seen in this study; none from scratch."""
    parent = study.experiments.get(run["init"])
    if parent is None:
        return 0 if run["init"] == SCRATCH else float("nan")
    candidates = parent["runs"]
    of_model = [other for other in candidates if other["model"] == run["model"]] or candidates
    recipe = _recipe(study, of_model[0]) if of_model[0]["recipe"] is not None else {"steps": 0, "batch_size": 0}
    return recipe["steps"] * recipe["batch_size"] + _clips_before(study, of_model[0])


def _row(
    study: Study, experiment: str, run: dict[str, Any], given: dict[str, Any], first: dict[str, Any]
) -> dict[str, Any]:
    differing = [key for key in dict.fromkeys([*first, *given]) if str(given.get(key)) != str(first.get(key))]
    overridden = bool(study.plan.get("models")[run["model"]]["recipe_overrides"])
    return {
        "experiment": experiment,
        "model": run["model"],
        "title": study.model_title(run["model"]),
        "init": run["init"],
        "label_fraction": run["label_fraction"],
        "start": given[START],
        "input": given[INPUT],
        "test_views": given[VIEWS],
        "recipe": (run["recipe"] or "") + ("+" if overridden and run["recipe"] else ""),
        "clips_seen_before": given[BEFORE],
        "clips_seen": given.get(BUDGET, float("nan")),
        "differs": "; ".join(f"{key}: {_text(given, key)} for {_text(first, key)}" for key in differing) or EQUAL,
    }


def _text(settings: dict[str, Any], key: str) -> str:
    value = settings.get(key)
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "none" if value is None else str(value)
