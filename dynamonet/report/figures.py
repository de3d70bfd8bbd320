"""Figures of results: ablation, label efficiency and learning curves.

The first two draw the tidy tables, so that a figure cannot say something else than its table.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from dynamonet.errors import UserError
from dynamonet.records import parse_json
from dynamonet.report.arms import ARM, drawn_notes
from dynamonet.report.collect import Study, init_title
from dynamonet.report.drawing import Drawing, add_legend, log_ticks, panels, styles_of
from dynamonet.report.table_files import Table

LOGGED = ("step", "loss", "train_top1")
"""Of a log, what the learning curves are drawn from."""
BANDS_SHOWN = 8  # of more curves the bands cover one another
INTERVALS = "Bars: 95 % Student t interval over runs, given from 3 runs and cut to 0 to 100 %."


def ablation_figure(study: Study, ablation: Table | None) -> Drawing:
    """One panel per data set and experiment, with those that it is the reference of: runs, means and intervals."""
    key, title = "ablation", "Ablation: runs, means and intervals"
    if ablation is None or not ablation.tidy["n"].any():
        return Drawing(key, title, "Omitted: no evaluated run feeds the ablation table.")
    shown = ablation.tidy[ablation.tidy["top1_n"] > 0]
    beside = shown["experiment"] != shown["reference_experiment"]
    shown = shown.assign(arm=shown["arm"].where(~beside, shown["arm"] + ", " + shown["experiment"]))
    styles = styles_of(study, shown)
    blocks = list(shown.groupby(["reference_experiment", "dataset"], sort=False))
    image, axes = panels([1.1 + 0.3 * len(block) for _, block in blocks], 3.0 + 0.07 * shown["arm"].map(len).max())
    for ((experiment, dataset), block), ax in zip(blocks, axes, strict=True):
        for position, row in enumerate(block.to_dict("records")):
            style = styles[row["model"], row["arm"]] | {"linestyle": "none"}
            keys = ["experiment", "dataset", *ARM]
            same_arm = (study.runs[keys] == [row[key] for key in keys]).all(axis=1)
            values = study.runs.loc[same_arm, "top1_percent"].dropna()
            ax.barh(position, row["top1_mean_percent"], height=0.66, color=style["color"], alpha=0.35)
            ax.plot(values, [position] * len(values), "|", color="0.35", markersize=8)
            ax.errorbar(row["top1_mean_percent"], position, xerr=_bars(block.iloc[[position]]), capsize=3, **style)
            ax.vlines(row["reference_mean_percent"], position - 0.5, position + 0.5, "0.4", ":", linewidth=1)
        ax.set_yticks(range(len(block)), block["arm"])
        ax.set(ylim=(len(block) - 0.5, -0.5), xlim=(0, None), xlabel="Top-1 accuracy (%)")
        ax.set_title(f"{experiment}: {study.dataset_title(dataset)}")
        ax.grid(visible=False, axis="y")
    caption = f"{INTERVALS} Ticks: single runs. Dotted: the mean of the arm that a row is compared with."
    names = ablation.tidy["experiment"] + ": " + ablation.tidy["arm"]
    return Drawing(key, title, caption + drawn_notes(shown, ablation.tidy, names), image)


def label_efficiency_figure(study: Study, table: Table | None) -> Drawing:
    """One panel per data set: top-1 against the share of labels on a logarithmic axis."""
    key, title = "label_efficiency", "Label efficiency: curves"
    if table is None or not table.tidy["n"].any():
        return Drawing(key, title, "Omitted: no evaluated run feeds the label efficiency table.")
    points = table.tidy[table.tidy["top1_n"] > 0]
    datasets = [name for name in study.datasets if name in set(points["dataset"])]
    curves = points[["model", "init"]].drop_duplicates().itertuples(index=False)
    labels = {(c.model, c.init): f"{study.model_title(c.model)}, {init_title(c.init)}" for c in curves}
    named = [labels[key] for key in points[["model", "init"]].itertuples(index=False, name=None)]
    styles = styles_of(study, points.assign(arm=named))
    image, axes = panels([3.0] * len(datasets), 3.4, list(labels.values()))
    for dataset, ax in zip(datasets, axes, strict=True):
        panel = points[points["dataset"] == dataset]
        for number, ((model, init), label) in enumerate(labels.items()):
            curve = panel[(panel["model"] == model) & (panel["init"] == init)].sort_values("label_fraction")
            # Shifted by a few per cent, so that bars of equal fractions stand beside each other.
            share_percent = 100 * curve["label_fraction"] * 1.03 ** (number - (len(labels) - 1) / 2)
            style = styles[model, label]
            if len(curve):
                ax.errorbar(share_percent, curve["top1_mean_percent"], _bars(curve), **style, capsize=2, label=label)
        ax.set(xscale="log", xlabel="Share of training labels (%)", ylabel="Top-1 accuracy (%)")
        ax.set_title(study.dataset_title(dataset))
        log_ticks(ax, 100 * panel["label_fraction"])
    add_legend(image)
    caption = f"{INTERVALS} Points of equal share are shifted sideways to keep them apart."
    shares = table.tidy["label_fraction"].map(lambda share: f", {100 * share:g} % of labels")
    names = table.tidy["model"].map(study.model_title) + ", " + table.tidy["init"].map(init_title) + shares
    return Drawing(key, title, caption + drawn_notes(points, table.tidy, names), image)


def _bars(arms: pd.DataFrame) -> np.ndarray:
    """(2, arms): how far the intervals reach below and above the means; nothing where there is none."""
    mean = arms["top1_mean_percent"]
    return np.nan_to_num([mean - arms["top1_ci95_low_percent"], arms["top1_ci95_high_percent"] - mean])


def learning_curves_figure(study: Study) -> Drawing:
    """One panel per experiment and data set (one recipe): mean over an arm's runs, band of one deviation."""
    key, title = "learning_curves", "Learning curves"
    # A run with fewer labels sees the same few clips more often: its curve has no place among the others.
    most_labels = study.runs.groupby("experiment")["label_fraction"].transform("max")
    runs = study.runs[study.runs["run"].isin(study.fits) & (study.runs["label_fraction"] == most_labels)]
    steps = _logged_steps(study, runs)
    if steps.empty:
        return Drawing(key, title, "Omitted: no fitted run has a log.")
    steps["arm"] = study.arm_labels(steps, ["experiment", "dataset"])
    blocks = list(steps.groupby(["experiment", "dataset"], sort=False))
    styles = styles_of(study, steps)
    image, axes = panels([2.8] * len(blocks), 3.4, list(steps["arm"].unique()))
    for ((experiment, dataset), block), ax in zip(blocks, axes, strict=True):
        scored = block["train_top1_percent"].notna().all()
        value = "train_top1_percent" if scored else "loss"
        curves = list(block.groupby(["model", "arm"], sort=False))
        for (model, arm), curve in curves:
            style = styles[model, arm] | {"markevery": [-1]}
            by_step = curve.groupby("step")[value].agg(["mean", "std"]).fillna(0)
            ax.plot(by_step.index, by_step["mean"], **style, label=arm)
            low, high = by_step["mean"] - by_step["std"], by_step["mean"] + by_step["std"]
            if len(curves) <= BANDS_SHOWN:
                ax.fill_between(by_step.index, low, high, color=style["color"], alpha=0.15, linewidth=0)
        ax.set(xlabel="Step", ylabel="Top-1 on training clips (%)" if scored else "Loss")
        ax.set_title(f"{experiment}: {study.dataset_title(dataset)}")
    add_legend(image)
    caption = (
        f"Mean over runs; band, in panels of up to {BANDS_SHOWN} curves: one standard deviation. Only runs with the "
        "experiment's most labels."
    )
    return Drawing(key, title, caption, image)


def _logged_steps(study: Study, runs: pd.DataFrame) -> pd.DataFrame:
    """One row per logged step of each run, with what names the run."""
    logs = {run: _read_log(study.directory / f"runs/{run}/log.jsonl") for run in runs["run"].unique()}
    names = runs[["run", "experiment", "dataset", "model", "init", "label_fraction"]]
    steps = names.loc[runs.index.repeat([len(logs[run]["step"]) for run in runs["run"]])].reset_index(drop=True)
    for column in LOGGED:
        steps[column] = np.array([value for run in runs["run"] for value in logs[run][column]], dtype=float)
    return steps.assign(train_top1_percent=100 * steps["train_top1"])


def _read_log(path: Path) -> dict[str, list[float | None]]:
    """Each of `LOGGED` over the steps, in order; no step where there is no log."""
    if not path.is_file():
        return {column: [] for column in LOGGED}
    lines = path.read_bytes().splitlines()
    logged = [parse_json(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line]
    for column in LOGGED:
        if not logged or not all(isinstance(line, dict) and column in line for line in logged):
            raise UserError(f"{path} has no '{column}': fit this run again.")
        wrong = [line[column] for line in logged if type(line[column]) not in (int, float, type(None))]
        if wrong or (column == "step" and any(line["step"] is None for line in logged)):
            raise UserError(f"{path} holds {(wrong or [None])[0]!r} as '{column}', where a number belongs.")
    # A resumed run logs the steps after its checkpoint again: the later line is the one that counts.
    by_step = {line["step"]: line for line in logged}
    return {column: [by_step[step][column] for step in sorted(by_step)] for column in LOGGED}
