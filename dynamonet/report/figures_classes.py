"""The figure of classes: what DynamoNet gains over its backbone in each class, over paired runs."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from dynamonet.models.catalogue import default_options
from dynamonet.report.collect import Study
from dynamonet.report.drawing import Drawing, panels
from dynamonet.report.statistics import summarise
from dynamonet.report.videos import ScoredVideos, common

BUILD = "dynamonet"
BACKBONE = {"prediction": False, "dmr_features": 0}
"""The options that turn DynamoNet into its backbone alone."""
OF_FILTERS = ("prediction", "dmr_", "filter_", "features_detached")
"""How the names of options begin that a backbone alone does not have, or does not use."""
PAIR = ["experiment", "dataset", "init", "label_fraction", "split", "seed"]
CLASSES_SHOWN = 30
GAIN, LOSS = "#0173b2", "#d55e00"


def class_gain_figure(study: Study) -> Drawing:
    """One panel per DynamoNet with its backbone, experiment and data set: each class's difference, in points."""
    key, title = "class_gain", "Gain over the backbone by class"
    blocks = [block for pair in backbone_pairs(study) for block in _blocks(study, *pair)]
    if not blocks:
        return Drawing(key, title, "Omitted: no evaluated run of a DynamoNet has one of its backbone beside it.")
    image, axes = panels([1.4 + 0.2 * min(len(gains), CLASSES_SHOWN) for _, gains in blocks], 4.2)
    captions = []
    for (name, gains), ax in zip(blocks, axes, strict=True):
        means = gains["mean"]
        *networks, where = name.split("\n")
        _draw(ax, gains if len(gains) <= CLASSES_SHOWN else _ends(gains))
        ax.set_title(name, fontsize=9)
        captions.append(
            f"{' '.join(networks)}, {where}: {len(gains)} classes, {(means > 0).sum()} gain, {(means < 0).sum()} lose, "
            f"over {int(gains['n'].max())} pairs of runs."
        )
    caption = (
        "Difference of a class's top-1 on the videos that both runs of a pair have scored; mean over pairs of equal "
        f"start, labels, split and seed; bars: one standard deviation. Of more than {CLASSES_SHOWN} classes those that "
        "gain most and least are shown. "
    )
    return Drawing(key, title, caption + " ".join(captions), image)


def backbone_pairs(study: Study) -> list[tuple[str, str]]:
    """Each DynamoNet of the study with the model that is the same network without filters, on the same clip."""
    networks = {name: model for name, model in study.plan.get("models").items() if model.get("build") == BUILD}
    options = {name: {**default_options(BUILD), **model["options"]} for name, model in networks.items()}
    alone = [name for name in networks if BACKBONE.items() <= options[name].items()]
    return [
        (name, other)
        for name in networks
        for other in alone
        if name not in alone
        and _of_backbone(options[name]) == _of_backbone(options[other])
        and networks[name]["clip"] == networks[other]["clip"]
    ]


def _of_backbone(options: dict[str, Any]) -> dict[str, Any]:
    return {option: value for option, value in options.items() if not option.startswith(OF_FILTERS)}


def _blocks(study: Study, model: str, backbone: str) -> list[tuple[str, pd.DataFrame]]:
    """Of each experiment and data set a heading and the gains of its classes, greatest first.

    Only experiments that feed the accuracy: an ablation has a network for each of its rows. Runs with fewer labels are
    left out.
    """
    runs = study.runs_feeding("accuracy")
    runs = runs[(runs["state"] == "evaluated") & runs["task"].isin(("train", "evaluate"))]
    sides = [runs.loc[runs["model"] == name, ["run", *PAIR]] for name in (model, backbone)]
    pairs = sides[0].merge(sides[1], on=PAIR, suffixes=("", "_backbone"))
    # A run that several experiments share is one run.
    pairs = pairs.drop_duplicates(["run", "run_backbone"])
    found = []
    for (experiment, dataset), of_dataset in pairs.groupby(["experiment", "dataset"], sort=False):
        of_dataset = of_dataset[of_dataset["label_fraction"] == of_dataset["label_fraction"].max()]
        by_pair = pd.DataFrame(
            [
                class_gains(study.videos.of(run), study.videos.of(other))
                for run, other in zip(of_dataset["run"], of_dataset["run_backbone"], strict=True)
            ]
        )
        names = [str(name) for name in study.manifests[dataset].get("classes")] if dataset in study.manifests else []
        gains = pd.DataFrame([_summary(by_pair[index]) for index in by_pair])
        gains["class"] = [names[index] if index < len(names) else str(index) for index in by_pair]
        gains = gains.dropna(subset="mean").sort_values(["mean", "class"], ascending=[False, True], ignore_index=True)
        title = f"{study.model_title(model)}\n− {study.model_title(backbone)}"
        found.append((f"{title}\n{experiment}: {study.dataset_title(dataset)}", gains))
    return found


def class_gains(a: ScoredVideos, b: ScoredVideos) -> np.ndarray:
    """(classes,): accuracy of a less that of b in points, over the videos that both have scored; NaN without any."""
    ids, right_a, right_b = common(a, b, "top1")
    of_video = a.class_index[a.ids.get_indexer(ids)]
    videos = np.bincount(of_video, minlength=a.classes).astype(float)
    gained = np.bincount(of_video, right_a.astype(float) - right_b, minlength=a.classes)
    return 100 * np.divide(gained, videos, out=np.full(a.classes, np.nan), where=videos > 0)


def _summary(values: pd.Series) -> dict[str, Any]:
    summary = summarise(values)
    return {"mean": summary.mean, "sd": summary.sd, "n": summary.n}


def _ends(gains: pd.DataFrame) -> pd.DataFrame:
    half = CLASSES_SHOWN // 2
    return pd.concat([gains.head(half), gains.tail(half)])


def _draw(ax: Axes, gains: pd.DataFrame) -> None:
    colours = [GAIN if mean > 0 else LOSS for mean in gains["mean"]]
    places = range(len(gains))
    ax.barh(places, gains["mean"], height=0.7, color=colours)
    ax.errorbar(gains["mean"], places, xerr=np.nan_to_num(gains["sd"]), fmt="none", ecolor="0.25", elinewidth=0.9)
    ax.axvline(0, color="0.3", linewidth=0.8)
    ax.set_yticks(places, gains["class"], fontsize=7)
    ax.set(ylim=(len(gains) - 0.4, -0.6), xlabel="Gain in top-1 (points)")
    ax.grid(visible=False, axis="y")
