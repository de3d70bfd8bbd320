"""Figures of single videos and classes: predicted frames with their filters, and confusion matrices."""

from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dynamonet.errors import UserError
from dynamonet.report.collect import Study, init_title
from dynamonet.report.drawing import Drawing, panels

TIME_STEPS_SHOWN = 6
CLASS_NAMES_SHOWN = 30  # more tick labels than this cannot be read


def predicted_frames_figure(study: Study) -> Drawing:
    """One video: frames, prediction, the errors of predicting and of copying, and the filters."""
    key, title = "predicted_frames", "Predicted frames and their filters"
    chosen = _first_predictions(study)
    if chosen is None:
        return Drawing(key, title, "Omitted: no evaluated run left predictions.")
    run, arrays = chosen
    frames, predicted = arrays["frames"][0].astype(int), arrays["predicted"][0].astype(int)
    filters = arrays["filters"][0].mean(axis=2)  # (T, S, k, k): over the colours, where each has its own
    steps = np.unique(np.linspace(0, len(predicted) - 1, TIME_STEPS_SHOWN).round().astype(int))
    now, after = frames[steps], frames[steps + 1]
    prediction_error = np.abs(predicted[steps] - after).mean(axis=-1)
    copy_error = np.abs(now - after).mean(axis=-1)
    worst = max(prediction_error.max(), copy_error.max(), 1)
    extreme = max(np.abs(filters[steps]).max(), 1e-6)
    rows = [
        ("frame t", now, {}),
        ("frame t+1", after, {}),
        ("predicted t+1", predicted[steps], {}),
        ("error of\nprediction", prediction_error, {"cmap": "magma", "vmin": 0, "vmax": worst}),
        ("error of\ncopying t", copy_error, {"cmap": "magma", "vmin": 0, "vmax": worst}),
    ]
    for scale in range(filters.shape[1]):
        label = "filter" if scale == 0 else f"filter at\n1/{2**scale} size"
        rows.append((label, filters[steps, scale], {"cmap": "RdBu_r", "vmin": -extreme, "vmax": extreme}))
    image = _grid(rows, steps, {(3, 4): "|error| (grey levels of 255)", (5, len(rows) - 1): "weight"})
    caption = (
        f"Run {run}, video {arrays['ids'][0]}. Errors are means of |difference| over the colour channels, on "
        "one scale; where the lower row is darker, copying the frame would have done better."
    )
    return Drawing(key, title, caption, image)


def confusion_figure(study: Study) -> Drawing:
    """One panel per data set: the first model's confusion matrix over the runs behind its accuracy."""
    key, title = "confusion", "Confusion matrices"
    chosen = {name: arm for name in study.datasets if (arm := _first_arm(study, name)) is not None}
    if not chosen:
        return Drawing(key, title, "Omitted: no evaluated run feeds the accuracy table.")
    class_names = {name: _class_names(study, name) for name in chosen}
    named = max((len(names) for names in class_names.values() if len(names) <= CLASS_NAMES_SHOWN), default=0)
    size_in = max(3.6, 0.24 * named + 1.6)
    image, axes = panels([size_in] * len(chosen), size_in + 0.5)
    captions = []
    for (dataset, arm), ax in zip(chosen.items(), axes, strict=True):
        counts = sum(_confusion_counts(study, run, len(class_names[dataset])) for run in arm["run"])
        _draw_confusion(ax, counts, class_names[dataset])
        ax.set_title(f"{study.dataset_title(dataset)}\n{study.model_title(arm['model'].iloc[0])}")
        start = init_title(arm["init"].iloc[0])
        captions.append(f"{study.dataset_title(dataset)}: {start}, {len(arm)} runs, {counts.sum()} scored videos.")
    caption = " ".join(["Each row is normalised to the videos of its true class.", *captions])
    return Drawing(key, title, caption, image)


def _first_predictions(study: Study) -> tuple[str, dict[str, np.ndarray]] | None:
    for run in dict.fromkeys(study.runs.loc[study.runs["state"] == "evaluated", "run"]):
        path = study.directory / f"runs/{run}/predictions.npz"
        if not path.is_file():
            continue
        arrays = _read_predictions(path)
        if len(arrays["ids"]):
            return run, arrays
    return None


def _read_predictions(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in ("frames", "predicted", "filters", "ids")}
    except Exception as error:  # numpy raises whatever zipfile and its own parser raise
        raise UserError(f"{path} cannot be read ({error}): evaluate this run again.") from error
    if arrays["frames"].shape[1] != arrays["predicted"].shape[1] + 1:
        raise UserError(f"{path} must hold one frame more than predictions: evaluate this run again.")
    if arrays["filters"].ndim != 6:
        raise UserError(f"{path} must hold filters by video, frame, scale and channel: evaluate this run again.")
    return arrays


def _grid(rows: list[tuple[str, np.ndarray, dict]], steps: np.ndarray, scales: dict[tuple[int, int], str]) -> Figure:
    """Labelled rows of pictures; `scales` names the colour bar that rows first to last share."""
    image = Figure(figsize=(1.25 * len(steps) + 1.4, 1.25 * len(rows)), layout="constrained")
    # The bars have a column of their own: taken from the pictures, they would push rows out of line.
    cells = image.add_gridspec(len(rows), len(steps) + 1, width_ratios=[*[1] * len(steps), 0.16])
    first_pictures = []
    for row, (label, pictures, options) in enumerate(rows):
        for column, picture in enumerate(pictures):
            ax = image.add_subplot(cells[row, column])
            shown = ax.imshow(picture, interpolation="nearest", **options)
            ax.set(xticks=[], yticks=[])
            ax.grid(visible=False)
            if row == 0:
                ax.set_title(f"t = {steps[column]}")
            if column == 0:
                ax.set_ylabel(label)
                first_pictures.append(shown)
    for (first, last), label in scales.items():
        bar = image.add_subplot(cells[first : last + 1, -1])
        image.colorbar(first_pictures[first], cax=bar, label=label)
    return image


def _first_arm(study: Study, dataset: str) -> pd.DataFrame | None:
    """The runs of the first model in this data set's accuracy, with all labels and its first start."""
    runs = study.runs_feeding("accuracy").drop_duplicates("run")
    runs = runs[
        (runs["dataset"] == dataset) & runs["task"].isin(("train", "evaluate")) & (runs["state"] == "evaluated")
    ]
    for model in study.models:
        arm = runs[runs["model"] == model]
        if len(arm):
            arm = arm[arm["label_fraction"] == arm["label_fraction"].max()]
            return arm[arm["init"] == arm["init"].iloc[0]]
    return None


def _class_names(study: Study, dataset: str) -> list[str]:
    if dataset not in study.manifests:
        raise UserError(f"{study.directory}/manifests/{dataset}.json does not exist, though runs were evaluated on it.")
    return [str(name) for name in study.manifests[dataset].get("classes")]


def _confusion_counts(study: Study, run: str, classes: int) -> np.ndarray:
    """Videos by true class (row) and predicted class (column)."""
    scored, listed = study.videos.of(run), study.evaluations[run].get("counts.scored")
    if (len(scored.ids), scored.classes) != (listed, classes):
        path = study.directory / f"runs/{run}/logits.parquet"
        raise UserError(f"{path} does not hold {listed} videos of {classes} classes: evaluate this run again.")
    counts = np.zeros((classes, classes), dtype=int)
    np.add.at(counts, (scored.class_index, scored.predicted), 1)
    return counts


def _draw_confusion(ax: Axes, counts: np.ndarray, names: list[str]) -> None:
    share_percent = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    sns.heatmap(
        share_percent,
        ax=ax,
        vmin=0,
        vmax=100,
        cmap="viridis",
        square=True,
        xticklabels=names if len(names) <= CLASS_NAMES_SHOWN else 10,
        yticklabels=names if len(names) <= CLASS_NAMES_SHOWN else 10,
        cbar_kws={"label": "Share of the true class (%)", "shrink": 0.7},
    )
    unit = "" if len(names) <= CLASS_NAMES_SHOWN else " (index)"
    ax.set(xlabel=f"Predicted class{unit}", ylabel=f"True class{unit}")
    ax.tick_params(axis="x", rotation=90)
    ax.tick_params(axis="y", rotation=0)
