"""Figures of accuracy against what it costs: GMACs, and measured latency. Each shows which models are worth their cost.

Both draw the tidy table of accuracy, so that a figure cannot say something else than its table.
"""

import numpy as np
import pandas as pd

from dynamonet.report.arms import drawn_notes
from dynamonet.report.collect import Study
from dynamonet.report.drawing import Drawing, add_legend, log_ticks, panels, styles_of
from dynamonet.report.table_files import Table

FRONT = "Pareto front"


def accuracy_cost_figure(study: Study, accuracy: Table | None) -> Drawing:
    """One panel per data set: top-1 against GMACs per video on a logarithmic axis."""
    costs = pd.DataFrame({"cost": {name: _metric(study, name, "gmacs_per_video") for name in study.measures}})
    return _accuracy_against(study, accuracy, costs, "accuracy_cost", "Accuracy against cost", "GMACs per video")


def accuracy_latency_figure(study: Study, accuracy: Table | None) -> Drawing:
    """One panel per data set: top-1 against the measured time of one clip. Holds measured times."""
    ends = {"cost": "median", "low": "p10", "high": "p90"}
    costs = pd.DataFrame(
        {
            column: {name: _metric(study, name, f"latency_ms_{end}") for name in study.measures}
            for column, end in ends.items()
        }
    )
    figure = _accuracy_against(
        study, accuracy, costs, "accuracy_latency", "Accuracy against latency", "Latency of one clip (ms)"
    )
    if figure.image is None:
        return figure
    measured = costs.dropna(subset="cost").index
    devices = dict.fromkeys(study.measures[name].get("provenance.device") for name in measured)
    return Drawing(
        figure.key,
        figure.title,
        f"{figure.caption} Latency: median, bars 10th to 90th percentile; on {'; '.join(devices)}.",
        figure.image,
    )


def pareto_front(costs: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Indices, by cost, of the points that no other one beats: none that costs as little is as good or better.

    costs, values: (points,). Of equal points one is kept.
    """
    best, front = -np.inf, []
    for index in np.lexsort((-values, costs)):
        if values[index] > best:
            best = values[index]
            front.append(index)
    return np.array(front, dtype=int)


def _accuracy_against(
    study: Study, accuracy: Table | None, costs: pd.DataFrame, key: str, title: str, axis: str
) -> Drawing:
    """costs: by model its `cost` and, where it has a spread, `low` and `high`."""
    if accuracy is None:
        return Drawing(key, title, "Omitted: no experiment feeds the accuracy table.")
    points = accuracy.tidy.join(costs, on="model") if len(costs) else accuracy.tidy.assign(cost=np.nan)
    unmeasured = points.loc[points["cost"].isna(), "arm"].unique()
    points = points.dropna(subset=["cost", "top1_mean_percent"])
    if points.empty:
        return Drawing(key, title, "Omitted: no model has both an evaluated run and this measurement.")
    datasets = [name for name in study.datasets if name in set(points["dataset"])]
    image, axes = panels([3.0] * len(datasets), 3.1, [*points["arm"].unique(), FRONT])
    styles = styles_of(study, points)
    for dataset, ax in zip(datasets, axes, strict=True):
        panel = points[points["dataset"] == dataset]
        front = panel.iloc[pareto_front(panel["cost"].to_numpy(), panel["top1_mean_percent"].to_numpy())]
        log_ticks(ax, panel.filter(["cost", "low", "high"]).stack())
        # To the edge: whoever pays more has the front's last point too.
        steps = [*front["cost"], ax.get_xlim()[1]], [*front["top1_mean_percent"], front["top1_mean_percent"].iloc[-1]]
        ax.step(*steps, where="post", color="0.55", linewidth=1, linestyle="--", zorder=1, label=FRONT)
        for row in panel.to_dict("records"):
            style = styles[row["model"], row["arm"]] | {"linestyle": "none"}
            spread = [[row["cost"] - row["low"]], [row["high"] - row["cost"]]] if "low" in row else None
            deviation = np.nan_to_num(row["top1_sd_percent"])
            ax.errorbar(row["cost"], row["top1_mean_percent"], deviation, spread, **style, capsize=2, label=row["arm"])
        ax.set(xlabel=axis, ylabel="Top-1 accuracy (%)")
        ax.set_title(study.dataset_title(dataset))
    add_legend(image)
    caption = (
        "Mean over splits and seeds; vertical bars: one standard deviation. "
        f"{FRONT}: the points that none beats at the same or a lower cost."
    )
    if len(unmeasured):
        caption += f" Not shown, since it was not measured: {', '.join(unmeasured)}."
    names = accuracy.tidy["arm"] + ", " + accuracy.tidy["dataset"].map(study.dataset_title)
    caption += drawn_notes(points, accuracy.tidy, names)
    if outdated := [study.model_title(name) for name in points["model"].unique() if name in study.measured_otherwise]:
        caption += f" Measured with other code or settings than now: {', '.join(outdated)}."
    return Drawing(key, title, caption, image)


def _metric(study: Study, model: str, key: str) -> float:
    record = study.measures[model]
    return np.nan if record.find(f"metrics.{key}") is None else record.number(f"metrics.{key}")
