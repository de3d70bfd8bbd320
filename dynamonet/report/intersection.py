"""Two evaluations on the videos that both have scored, where copies of a data set do not hold the same videos.

Kinetics-400 loses videos year by year, so that published accuracies are over different test sets. Free of torch.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
from rich.console import Console
from rich.table import Table

from dynamonet.data.sampling import generator
from dynamonet.engine.accuracy import class_mean, video_hits
from dynamonet.errors import UserError
from dynamonet.files import write_json
from dynamonet.report.statistics import bootstrap_intervals
from dynamonet.report.table_files import interval, number

TITLES = {"top1": "top-1 %", "top5": "top-5 %", "mean_class_accuracy": "class mean %"}


def intersection(a: Path, b: Path, json_path: Path | None = None) -> None:
    """Print the comparison of two evaluations, and write it as JSON if asked to. Raises UserError as `compare` does."""
    compared = compare(a, b)
    console = Console()
    console.print(f"A: {compared['a']}\nB: {compared['b']}", soft_wrap=True, highlight=False, markup=False)
    counts = compared["counts"]
    table = Table(title=f"{counts['common']} videos in common; only in A: {counts['only_a']}, in B: {counts['only_b']}")
    for header in ("on these videos", "A", "B", "A − B, points", "its 95 % interval"):
        table.add_column(header, justify="left" if header == "on these videos" else "right")
    for name, values in compared["metrics"].items():
        values = {key: 100 * value for key, value in values.items()}
        bounds = interval(values["ci95_low"], values["ci95_high"], 1, signed=True)
        difference = number(values["difference"], 1, signed=True)
        table.add_row(TITLES[name], number(values["a"], 1), number(values["b"], 1), difference, bounds)
    console.print(table, markup=False)
    if json_path is not None:
        write_json(json_path, compared)


def compare(a: Path, b: Path) -> dict[str, Any]:
    """Accuracy of two evaluations on the videos that both have scored, joined by id.

    a, b: a run's folder, or its `logits.parquet`. Each metric, in [0, 1], has the values of both, their difference and
    its 95 % bootstrap interval over videos: what another sample of videos could show, of these two trained networks.
    Raises UserError for a file that holds no scores or a video twice, for evaluations of other classes, for a video
    with two labels, and where no video is common.
    """
    paths = [path / "logits.parquet" if path.is_dir() else path for path in (Path(a), Path(b))]
    tables = [_read(path) for path in paths]
    classes = [table.shape[1] - 1 for table in tables]
    if classes[0] != classes[1]:
        raise UserError(
            f"{paths[0]} scores {classes[0]} classes and {paths[1]} {classes[1]}: compare evaluations of one data set"
        )
    common = tables[0].index[tables[0].index.isin(tables[1].index)]
    if common.empty:
        raise UserError(f"{paths[0]} and {paths[1]} have no video in common: compare evaluations of one data set")
    labels = [table.loc[common, "class_index"].to_numpy() for table in tables]
    if (labels[0] != labels[1]).any():
        place = int((labels[0] != labels[1]).argmax())
        said = [f"{label[place]} in {path}" for label, path in zip(labels, paths, strict=True)]
        raise UserError(
            f"video {common[place]} is of class {said[0]} and {said[1]}: compare evaluations that use the same labels"
        )
    hits = [
        {name: hit.astype(float) for name, hit in video_hits(_scores(table, common), labels[0]).items()}
        for table in tables
    ]

    def metrics(of_video: dict[str, np.ndarray], videos: np.ndarray | slice) -> list[float]:
        means = [float(values[videos].mean()) for values in of_video.values()]
        return [*means, class_mean(of_video["top1"][videos], labels[0][videos])]

    differences = {name: hits[0][name] - hits[1][name] for name in hits[0]}
    rng = generator("intersection", "bootstrap")
    intervals = bootstrap_intervals(lambda videos: metrics(differences, videos), len(common), rng)
    everything = slice(None)
    columns = zip(metrics(hits[0], everything), metrics(hits[1], everything), intervals, strict=True)
    return {
        "a": str(paths[0]),
        "b": str(paths[1]),
        "counts": {
            "a": len(tables[0]),
            "b": len(tables[1]),
            "common": len(common),
            "only_a": len(tables[0]) - len(common),
            "only_b": len(tables[1]) - len(common),
        },
        "metrics": {
            name: {"a": of_a, "b": of_b, "difference": of_a - of_b, "ci95_low": low, "ci95_high": high}
            for name, (of_a, of_b, (low, high)) in zip([*differences, "mean_class_accuracy"], columns, strict=True)
        },
    }


def _read(path: Path) -> pd.DataFrame:
    """class_index and the scores by class, by id."""
    try:
        table = pd.read_parquet(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(f"{path} cannot be read ({error}): name a run's folder or its logits.parquet") from error
    scores = table.filter(regex=r"^score_\d+$")
    if scores.empty or not {"id", "class_index"} <= set(table):
        raise UserError(f"{path} holds no class scores: name the logits.parquet of a run that classifies")
    if table["id"].duplicated().any():
        raise UserError(f"{path} holds video {table.loc[table['id'].duplicated(), 'id'].iloc[0]} twice: evaluate again")
    return scores.assign(class_index=table["class_index"]).set_index(table["id"])


def _scores(table: pd.DataFrame, ids: pd.Index) -> np.ndarray:
    """(videos, K)."""
    return table.loc[ids, [f"score_{k}" for k in range(table.shape[1] - 1)]].to_numpy()
