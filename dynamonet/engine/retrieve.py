"""Retrieval: the nearest training videos of each test video, by the features of a network as it is.

The protocol of self-supervised video learning, as in Xu et al., "Self-supervised Spatiotemporal Learning via Video Clip
Order Prediction" (CVPR 2019, section 4.3; `retrieve_clips.py` of xudejing/video-clip-order-prediction): a video's
feature is the mean over its clips, neighbours are those of the smallest cosine distance, and a query is right at k if
one of its k nearest neighbours has its class.
"""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from dynamonet.engine.acceleration import accelerate
from dynamonet.engine.device import prepare_device
from dynamonet.engine.distribution import World
from dynamonet.engine.features import FeatureExtractor, video_features
from dynamonet.engine.fit import load_manifest
from dynamonet.engine.inference import eval_clips, forward_only, passed, trained_model
from dynamonet.engine.weights import head_keys
from dynamonet.errors import UserError
from dynamonet.files import atomic_path
from dynamonet.records import Stopwatch, write_record
from dynamonet.spec import load_spec

RANKS = (1, 5, 10, 20)
"""k of R@k; as many neighbours as the last are kept."""
QUERIES_AT_ONCE = 64
"""Rows of the matrix of similarities that are in memory at once."""
PARTS = {"query": "test", "gallery": "train"}


def retrieve(spec_path: Path, workers: int = 0, reader: str = "pyav") -> None:
    """Search the run's training videos for each of its test videos; write `neighbours.parquet` and `retrieve.json`.

    Raises UserError for weights or a manifest that do not fit, a data set without labels and a network without
    features, and VideoError for a video that breaks: one is left out only if the manifest already says so.
    """
    spec_path = Path(spec_path).absolute()
    spec = load_spec(spec_path)
    watch = Stopwatch()
    world = World.of(os.environ)
    execution = forward_only(spec.execution)
    device = prepare_device(spec.threads, world.local_rank, execution.deterministic, execution.precision)
    manifest = load_manifest(spec_path, spec)
    if not manifest.classes:
        raise UserError(f"{spec.run}: data set {spec.dataset} has no labels, so no neighbour can be right or wrong")
    model, weights_sha256 = trained_model(spec_path.parent, spec, manifest)
    rows = {part: manifest.select(spec.split, name) for part, name in PARTS.items()}
    excluded = {part: manifest.excluded(spec.split, name) for part, name in PARTS.items()}
    accelerate(model.to(device), execution)
    extractor = FeatureExtractor(model.eval(), head_keys(spec))
    with world.joined(device):
        found = {}
        for part in PARTS:
            clips = eval_clips(spec_path, spec, manifest, rows[part], 0, reader, device)
            title = f"{part} features {spec.run}"
            found[part] = video_features(title, extractor, clips, execution, device, workers, world)
    if not world.first:
        return
    metrics = write_neighbours(spec_path.with_name("neighbours.parquet"), rows, found)
    unusable = pd.concat([excluded[part].assign(part=name) for part, name in PARTS.items()])
    write_record(
        spec_path.with_name("retrieve.json"),
        "retrieve",
        metrics=metrics,
        counts={
            "listed": len(rows["query"]) + len(excluded["query"]),
            "queried": len(rows["query"]),
            "gallery_listed": len(rows["gallery"]) + len(excluded["gallery"]),
            "gallery_used": len(rows["gallery"]),
            "unusable": unusable[["part", "id", "path", "reason"]].to_dict("records"),
        },
        feature_sizes={kind: features.shape[1] for kind, features in found["query"].items()},
        **passed(spec, manifest, world, device),
        weights_sha256=weights_sha256,
        time=watch.read(),
    )


def write_neighbours(path: Path, rows: dict[str, pd.DataFrame], features: dict[str, dict[str, Tensor]]) -> dict:
    """Search the gallery for each query; write the table and return R@k by kind of feature.

    rows, features: of `query` and `gallery`. The table holds what R@k follows from: per query id and class_index, and
    for each kind of feature the ids, class indices and similarities of its nearest neighbours, the nearest first.
    """
    table = pd.DataFrame({"id": rows["query"]["id"], "class_index": rows["query"]["class_index"]})
    metrics = {}
    for kind, query in features["query"].items():
        nearest, similarity = nearest_neighbours(query, features["gallery"][kind], max(RANKS))
        classes = rows["gallery"]["class_index"].to_numpy()[nearest]
        table[f"{kind}_ids"] = list(rows["gallery"]["id"].to_numpy()[nearest])
        table[f"{kind}_class_indices"] = list(classes)
        table[f"{kind}_similarities"] = list(similarity)
        metrics[kind] = recall(classes, table["class_index"].to_numpy())
    with atomic_path(path) as temporary:
        table.to_parquet(temporary, index=False)
    return metrics


def nearest_neighbours(query: Tensor, gallery: Tensor, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The `count` rows of the gallery that are nearest to each query, by cosine, and their cosine similarities.

    query: (Q, D); gallery: (G, D), float32; returns two arrays (Q, min(count, G)), the nearest first. Of equal
    features the first of the gallery is the nearer one; a feature of zeros has similarity 0 to all. Memory grows with
    Q + G, not with their product.
    """
    query, gallery = (F.normalize(features, dim=1) for features in (query, gallery))
    # The last bits of a product depend on where in the matrix it stands: equal features are multiplied once.
    first: dict[bytes, int] = {}
    rows = [row.tobytes() for row in gallery.numpy()]
    for row in rows:
        first.setdefault(row, len(first))
    of_row = np.array([first[row] for row in rows])
    distinct = torch.from_numpy(np.frombuffer(b"".join(first), np.float32).reshape(len(first), -1).copy())
    nearest, similarities = [], []
    for part in query.split(QUERIES_AT_ONCE):
        similarity = (part @ distinct.T).numpy()[:, of_row]
        order = np.argsort(-similarity, axis=1, kind="stable")[:, :count]
        nearest.append(order)
        similarities.append(np.take_along_axis(similarity, order, 1))
    return np.concatenate(nearest), np.concatenate(similarities)


def recall(neighbour_classes: np.ndarray, class_index: np.ndarray) -> dict[str, float]:
    """R@k for k in `RANKS`: the share of queries of whose k nearest neighbours one has their class.

    neighbour_classes: (Q, neighbours), the nearest first; class_index: (Q,).
    """
    hits = neighbour_classes == class_index[:, None]
    return {f"r{k}": float(hits[:, :k].any(1).mean()) for k in RANKS}
