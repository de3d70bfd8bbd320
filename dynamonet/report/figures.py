"""Figures of results: ablation, label efficiency and learning curves.

The first two draw the tidy tables, so that a figure cannot say something else than its table.
"""

import numpy as np
import pandas as pd

from dynamonet.errors import UserError
from dynamonet.records import parse_json
from dynamonet.report.arms import ARM
from dynamonet.report.collect import Study, init_title
from dynamonet.report.drawing import Drawing, add_legend, log_ticks, panels, style_of
from dynamonet.report.table_files import Table

INTERVALS = "Bars: 95 % Student t interval over runs, given from 3 runs."


def ablation_figure(study: Study, ablation: Table | None) -> Drawing:
    """One panel per experiment and data set: every run, the mean, and its interval."""
    key, title = "ablation", "Ablation: runs, means and intervals"
    if ablation is None or not ablation.tidy["n"].any():
        return Drawing(key, title, "Omitted: no evaluated run feeds the ablation table.")
    shown = ablation.tidy[ablation.tidy["top1_n"] > 0]
    blocks = list(shown.groupby(["experiment", "dataset"], sort=False))
    most_arms = max(len(block) for _, block in blocks)
    image, axes = panels(len(blocks), 4.2, 1.1 + 0.3 * most_arms)
    for ((experiment, dataset), block), ax in zip(blocks, axes, strict=True):
        runs = study.runs[(study.runs["experiment"] == experiment) & (study.runs["dataset"] == dataset)]
        for position, row in enumerate(block.to_dict("records")):
            style = style_of(study, row["model"], row["init"], block["init"]) | {"linestyle": "none"}
            same_arm = (runs[ARM] == [row[key] for key in ARM]).all(axis=1)
            values = runs.loc[same_arm, "top1_percent"].dropna()
            ax.barh(position, row["top1_mean_percent"], height=0.66, color=style["color"], alpha=0.35)
            ax.plot(values, [position] * len(values), "|", color="0.35", markersize=8)
            half = np.nan_to_num(row["top1_ci95_high_percent"] - row["top1_mean_percent"])
            ax.errorbar(row["top1_mean_percent"], position, xerr=half, capsize=3, **style)
        for mean in block.loc[block["arm"] == block["reference"], "top1_mean_percent"]:
            ax.axvline(mean, color="0.6", linewidth=0.8, linestyle=":")
        ax.set_yticks(range(len(block)), block["arm"])
        ax.set(ylim=(len(block) - 0.5, -0.5), xlim=(0, None), xlabel="Top-1 accuracy (%)")
        ax.set_title(f"{experiment}: {study.dataset_title(dataset)}")
        ax.grid(visible=False, axis="y")
    caption = f"{INTERVALS} Ticks: single runs. Dotted: the mean of the first arm, the reference."
    return Drawing(key, title, caption, image)


def label_efficiency_figure(study: Study, table: Table | None) -> Drawing:
    """One panel per data set: top-1 against the share of labels on a logarithmic axis."""
    key, title = "label_efficiency", "Label efficiency: curves"
    if table is None or not table.tidy["n"].any():
        return Drawing(key, title, "Omitted: no evaluated run feeds the label efficiency table.")
    points = table.tidy[table.tidy["top1_n"] > 0]
    datasets = [name for name in study.datasets if name in set(points["dataset"])]
    curves = points[["model", "init"]].drop_duplicates().itertuples(index=False)
    labels = {(c.model, c.init): f"{study.model_title(c.model)}, {init_title(c.init)}" for c in curves}
    image, axes = panels(len(datasets), 3.4, 3.0, list(labels.values()))
    for dataset, ax in zip(datasets, axes, strict=True):
        panel = points[points["dataset"] == dataset]
        for number, ((model, init), label) in enumerate(labels.items()):
            curve = panel[(panel["model"] == model) & (panel["init"] == init)].sort_values("label_fraction")
            half = np.nan_to_num(curve["top1_ci95_high_percent"] - curve["top1_mean_percent"])
            # Shifted by a few per cent, so that bars of equal fractions stand beside each other.
            share_percent = 100 * curve["label_fraction"] * 1.03 ** (number - (len(labels) - 1) / 2)
            style = style_of(study, model, init, points["init"])
            if len(curve):
                ax.errorbar(share_percent, curve["top1_mean_percent"], half, **style, capsize=2, label=label)
        ax.set(xscale="log", xlabel="Share of training labels (%)", ylabel="Top-1 accuracy (%)")
        ax.set_title(study.dataset_title(dataset))
        log_ticks(ax, 100 * panel["label_fraction"])
    add_legend(image)
    return Drawing(key, title, f"{INTERVALS} Points of equal share are shifted sideways to keep them apart.", image)


def learning_curves_figure(study: Study) -> Drawing:
    """One panel per experiment and data set (one recipe): mean over an arm's runs, band of one deviation."""
    key, title = "learning_curves", "Learning curves"
    # A run with fewer labels sees the same few clips more often: its curve has no place among the others.
    most_labels = study.runs.groupby("experiment")["label_fraction"].transform("max")
    runs = study.runs[study.runs["run"].isin(study.fits) & (study.runs["label_fraction"] == most_labels)]
    logs = [_read_log(study, run) for run in runs.to_dict("records")]
    logs = [log for log in logs if log is not None]
    if not logs:
        return Drawing(key, title, "Omitted: no fitted run has a log.")
    steps = pd.concat(logs, ignore_index=True)
    steps["arm"] = study.arm_labels(steps, ["experiment", "dataset"])
    blocks = list(steps.groupby(["experiment", "dataset"], sort=False))
    image, axes = panels(len(blocks), 3.4, 2.8, list(steps["arm"].unique()))
    for ((experiment, dataset), block), ax in zip(blocks, axes, strict=True):
        scored = block["train_top1_percent"].notna().all()
        value = "train_top1_percent" if scored else "loss"
        for (model, init, arm), curve in block.groupby(["model", "init", "arm"], sort=False):
            style = style_of(study, model, init, block["init"]) | {"markevery": [-1]}
            by_step = curve.groupby("step")[value].agg(["mean", "std"]).fillna(0)
            ax.plot(by_step.index, by_step["mean"], **style, label=arm)
            low, high = by_step["mean"] - by_step["std"], by_step["mean"] + by_step["std"]
            ax.fill_between(by_step.index, low, high, color=style["color"], alpha=0.15, linewidth=0)
        ax.set(xlabel="Step", ylabel="Top-1 on training clips (%)" if scored else "Loss")
        ax.set_title(f"{experiment}: {study.dataset_title(dataset)}")
    add_legend(image)
    caption = "Mean over runs; band: one standard deviation. Only runs with the experiment's most labels."
    return Drawing(key, title, caption, image)


def _read_log(study: Study, run: dict) -> pd.DataFrame | None:
    path = study.directory / f"runs/{run['run']}/log.jsonl"
    if not path.is_file():
        return None
    lines = path.read_bytes().splitlines()
    rows = [parse_json(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line]
    log = pd.DataFrame(rows)
    for column in ("step", "loss", "train_top1"):
        if column not in log:
            raise UserError(f"{path} has no '{column}': fit this run again.")
    # A resumed run logs the steps after its checkpoint again: the later line is the one that counts.
    log = log.drop_duplicates("step", keep="last").sort_values("step")
    log["train_top1_percent"] = 100 * log["train_top1"].astype(float)
    kept = log[["step", "loss", "train_top1_percent"]]
    return kept.assign(**{k: run[k] for k in ("run", "experiment", "dataset", "model", "init", "label_fraction")})
