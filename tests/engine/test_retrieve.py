import numpy as np
import pandas as pd
import pytest
import torch
from processes import finished, start_ranks

from dynamonet.data.manifest import Manifest
from dynamonet.engine import retrieve as stage
from dynamonet.engine.adopt import adopt
from dynamonet.engine.fit import fit
from dynamonet.engine.retrieve import nearest_neighbours, recall, retrieve
from dynamonet.errors import UserError
from dynamonet.files import read_json
from dynamonet.spec import Views, load_spec


def search_with(spec_path, init=None, **settings):
    """The spec of a run that is searched with, on the data set of another run's spec."""
    settings = {"task": "retrieve", "init": init, "recipe": None, "views": Views(clips=3), **settings}
    spec = load_spec(spec_path).model_copy(update=settings)
    path = spec_path.parents[1] / spec.run / "spec.json"
    spec.save(path)
    return path


def searched(spec_path):
    adopt(spec_path)
    retrieve(spec_path)
    return read_json(spec_path.with_name("retrieve.json")), pd.read_parquet(spec_path.with_name("neighbours.parquet"))


def reference(query, gallery, count):
    """Nearest neighbours pair by pair, in float64."""
    query, gallery = (np.asarray(features, np.float64) for features in (query, gallery))
    found = []
    for one in query:
        norms = np.linalg.norm(one) * np.linalg.norm(gallery, axis=1)
        similarity = np.divide(gallery @ one, norms, out=np.zeros(len(gallery)), where=norms > 0).round(12)
        found.append(sorted(range(len(gallery)), key=lambda place: (-similarity[place], place))[:count])
    return np.array(found)


def features(count, size, seed):
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("queries", "gallery", "size"), [(1, 30, 8), (150, 301, 33), (65, 5, 3)])
def test_neighbours_equal_those_of_a_search_pair_by_pair(queries, gallery, size):
    query, gallery = features(queries, size, 0), features(gallery, size, 1) * 7
    nearest, similarity = nearest_neighbours(query, gallery, 20)
    assert nearest.shape == (queries, min(20, len(gallery)))
    np.testing.assert_array_equal(nearest, reference(query, gallery, 20))
    assert (np.diff(similarity, axis=1) <= 0).all()
    cosine = torch.cosine_similarity(query, gallery[nearest[:, 0]], dim=1)
    np.testing.assert_allclose(similarity[:, 0], cosine, atol=1e-6)


def test_a_querys_own_copy_is_the_nearest():
    gallery = features(200, 40, 2)
    nearest, similarity = nearest_neighbours(3 * gallery[50:150], gallery, 1)
    assert nearest[:, 0].tolist() == list(range(50, 150))
    np.testing.assert_allclose(similarity, 1, atol=1e-6)


@pytest.mark.parametrize("seed", range(10))
def test_equal_features_are_ranked_in_the_order_of_the_gallery(seed):
    # A single query: the last bits of the product of a matrix and a vector differ from row to row.
    distinct, query = features(3, 121, seed), features(1, 121, 10 + seed)
    nearest, _ = nearest_neighbours(query, distinct[torch.arange(101) % 3], 101)
    kinds = torch.cosine_similarity(query, distinct, dim=1).argsort(descending=True).tolist()
    assert nearest[0].tolist() == [place for kind in kinds for place in range(kind, 101, 3)]


def test_features_of_zeros_are_like_none_and_everything():
    gallery = torch.stack([torch.zeros(4), torch.ones(4), -torch.ones(4)])
    nearest, similarity = nearest_neighbours(torch.stack([torch.zeros(4), torch.ones(4)]), gallery, 20)
    assert nearest.tolist() == [[0, 1, 2], [1, 0, 2]]
    np.testing.assert_allclose(similarity, [[0, 0, 0], [1, 0, -1]], atol=1e-6)


def test_recall_by_hand():
    neighbours = np.array([[1, 0, 0, 0, 0, 2], [0, 1, 0, 0, 0, 2], [0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 2]])
    assert recall(neighbours, np.ones(4, int)) == {"r1": 0.25, "r5": 0.5, "r10": 0.75, "r20": 0.75}


def test_a_pretrained_network_is_searched_with_as_it_is(prepared):
    parent = prepared("pretraining")
    fit(parent)
    spec_path = search_with(prepared("kinetics400", model="dynamonet"), parent.parent.name)
    record, table = searched(spec_path)
    manifest = pd.read_parquet("results/tiny/manifests/kinetics400.parquet").set_index("id")
    assert table["id"].tolist() == manifest.index[manifest["split_1"] == "test"].tolist()
    counts = {"listed": 12, "queried": 12, "gallery_listed": 24, "gallery_used": 24, "unusable": []}
    assert record["counts"] == counts
    assert record["feature_sizes"] == {"pooled": 32, "dmr": 25}
    assert record["views"]["clips"] == 3
    adopted = read_json(spec_path.with_name("fit.json"))
    assert record["weights_sha256"] == adopted["weights_sha256"]
    assert adopted["provenance"]["init"]["run"] == parent.parent.name
    for kind in ("pooled", "dmr"):
        ids = np.stack(table[f"{kind}_ids"])
        assert ids.shape == (12, 20)
        assert all(len(set(row)) == 20 for row in ids)
        assert set(manifest.loc[ids.ravel(), "split_1"]) == {"train"}
        classes = manifest["class_index"][ids.ravel()].to_numpy().reshape(ids.shape)
        np.testing.assert_array_equal(classes, np.stack(table[f"{kind}_class_indices"]))
        hits = classes == table["class_index"].to_numpy()[:, None]
        assert record["metrics"][kind] == {f"r{k}": hits[:, :k].any(1).mean() for k in (1, 5, 10, 20)}
        similarities = np.stack(table[f"{kind}_similarities"])
        assert (np.diff(similarities, axis=1) <= 0).all()
    assert (np.stack(table["pooled_ids"]) != np.stack(table["dmr_ids"])).any()


def test_a_networks_features_are_those_of_its_clips_averaged(prepared, monkeypatch):
    spec_path = search_with(prepared("kinetics400", model="slow_r50"))
    given = {}

    def kept(path, rows, found):
        given.update(found)
        return write_neighbours(path, rows, found)

    write_neighbours = stage.write_neighbours
    monkeypatch.setattr(stage, "write_neighbours", kept)
    record, _ = searched(spec_path)
    assert set(record["metrics"]) == {"pooled"}
    assert record["metrics"]["pooled"]["r20"] >= record["metrics"]["pooled"]["r1"]
    first = given["query"]["pooled"][0]
    # The same video's clips, passed through the network by themselves.
    spec = load_spec(spec_path)
    manifest = Manifest.load(spec_path.parents[2] / "manifests" / "kinetics400.parquet")
    model, _ = stage.trained_model(spec_path.parent, spec, manifest)
    rows = manifest.select(1, "test").head(1)
    clips = stage.eval_clips(spec_path, spec, manifest, rows, 0, "pyav", torch.device("cpu"))
    extractor = stage.FeatureExtractor(model.eval(), stage.head_keys(spec))
    alone = stage.video_features("one", extractor, clips, spec.execution, torch.device("cpu"), 0, stage.World())[
        "pooled"
    ]
    torch.testing.assert_close(alone[0], first, rtol=1e-4, atol=1e-5)
    assert spec.views.clips == 3


def test_weights_drawn_by_the_seed_can_be_searched_with_and_unusable_videos_are_named(prepared):
    spec_path = search_with(prepared("kinetics400", model="backbone"))
    path = spec_path.parents[2] / "manifests" / "kinetics400.parquet"
    manifest = Manifest.load(path)
    lost = [manifest.rows.index[manifest.rows["split_1"] == part][3] for part in ("test", "train")]
    manifest.rows.loc[lost, ["status", "reason"]] = ["missing", "there is no such file"]
    manifest.save(path)
    record, table = searched(spec_path)
    counts = record["counts"]
    assert (counts["listed"], counts["queried"], counts["gallery_listed"], counts["gallery_used"]) == (12, 11, 24, 23)
    named = [(video["part"], video["id"]) for video in counts["unusable"]]
    assert named == list(zip(("test", "train"), manifest.rows.loc[lost, "id"], strict=True))
    assert len(table) == 11
    assert manifest.rows.loc[lost[1], "id"] not in set(np.concatenate(table["pooled_ids"].tolist()))


def test_neighbours_do_not_depend_on_the_number_of_processes(prepared):
    parent = prepared("pretraining")
    fit(parent)
    spec_path = search_with(prepared("kinetics400", model="dynamonet"), parent.parent.name, views=Views(clips=1))
    # Each video twice: three batches of training videos, two of test videos.
    path = spec_path.parents[2] / "manifests" / "kinetics400.parquet"
    manifest = Manifest.load(path)
    once = manifest.rows.copy()
    manifest.rows = pd.concat([once, once.assign(id="again " + once["id"])], ignore_index=True)
    manifest.save(path)
    record, table = searched(spec_path)
    assert len(table) == 24
    alone = spec_path.with_name("neighbours.parquet").read_bytes()
    for name in ("neighbours.parquet", "retrieve.json"):
        spec_path.with_name(name).unlink()
    status, said = finished(*start_ranks(2, "retrieve", spec_path))
    assert status == [0, 0], said
    assert spec_path.with_name("neighbours.parquet").read_bytes() == alone
    shared = read_json(spec_path.with_name("retrieve.json"))
    assert shared["metrics"] == record["metrics"]
    assert shared["provenance"]["world_size"] == 2


def test_a_data_set_without_labels_is_refused(prepared):
    spec_path = search_with(prepared("pretraining"))
    adopt(spec_path)
    with pytest.raises(UserError, match="data set pool has no labels"):
        retrieve(spec_path)


def test_what_was_not_adopted_is_refused(prepared):
    with pytest.raises(UserError, match="has no finished weights"):
        retrieve(search_with(prepared("kinetics400", model="dynamonet")))
