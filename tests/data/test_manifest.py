import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from dynamonet.data.copy_recipe import CopyRecipe
from dynamonet.data.manifest import Manifest
from dynamonet.errors import UserError


def test_not_a_manifest(tmp_path):
    (tmp_path / "m.parquet").write_text("no parquet")
    for name in ("m.parquet", "missing.parquet"):
        with pytest.raises(UserError, match=name):
            Manifest.load(tmp_path / name)


def synthetic(n, classes):
    columns = dict(
        id=[f"class/video_{number}" for number in range(n)],
        path=[f"class/video_{number}.mp4" for number in range(n)],
        class_index=np.arange(n) % classes,
        group="",
        split_1=np.where(np.arange(n) % 10 == 0, "test", "train"),
        frames=300,
        width=340,
        height=256,
        fps=29.97,
        duration_s=10.0,
        first_pts=0,
        pts_step=512,
        bytes=10**6,
        sha256=[f"{number:064x}" for number in range(n)],
        status="ok",
        reason="",
        file=[f"class/video_{number}.mp4" for number in range(n)],
        file_bytes=10**6,
        file_sha256=[f"{number:064x}" for number in range(n)],
    )
    return Manifest(pd.DataFrame(columns), "folder", "/data", tuple(f"class {number}" for number in range(classes)))


def test_label_fractions_are_nested_and_counted_per_class():
    manifest = synthetic(1000, 7)
    every = manifest.select(1, "train")
    sets = {fraction: manifest.select(1, "train", fraction, seed=3) for fraction in (0.001, 0.1, 0.3)}
    assert set(sets[0.001]["id"]) < set(sets[0.1]["id"]) < set(sets[0.3]["id"]) < set(every["id"])
    assert sets[0.001]["class_index"].value_counts().tolist() == [1] * 7
    expected = {label: -(-n // 10) for label, n in every["class_index"].value_counts().items()}
    assert sets[0.1]["class_index"].value_counts().to_dict() == expected
    assert sets[0.1]["id"].tolist() == [name for name in every["id"] if name in set(sets[0.1]["id"])]
    assert set(manifest.select(1, "train", 0.1, seed=4)["id"]) != set(sets[0.1]["id"])


@pytest.mark.parametrize("arguments", [(2, "train"), (1, "valid"), (1, "train", 0.0), (1, "train", 1.5)])
def test_bad_selections(arguments):
    with pytest.raises(UserError):
        synthetic(100, 5).select(*arguments)


def test_what_is_saved_is_loaded(tmp_path):
    manifest = synthetic(30, 3)
    manifest.rows.loc[4, ["status", "reason"]] = "missing", "there is no such file"
    copies = CopyRecipe(short_side=128, crf=20)
    for kept in (manifest, Manifest(manifest.rows, "folder", "/data", manifest.classes, "/copies", copies)):
        kept.save(tmp_path / "m.parquet")
        loaded = Manifest.load(tmp_path / "m.parquet")
        pd.testing.assert_frame_equal(loaded.rows, kept.rows, check_dtype=False)
        for name in ("layout", "root", "files_root", "classes", "copies", "sha256", "splits"):
            assert getattr(loaded, name) == getattr(kept, name), name
    assert str(loaded.files_root) == "/copies" and str(manifest.files_root) == "/data"


def test_a_manifest_of_another_version_is_refused(tmp_path):
    path = tmp_path / "m.parquet"
    synthetic(5, 1).save(path)
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["file_sha256"]).replace_schema_metadata(table.schema.metadata), path)
    with pytest.raises(UserError, match=r"m\.parquet is a manifest of another version"):
        Manifest.load(path)


def test_the_hash_is_of_the_data_and_not_of_its_place():
    first = synthetic(20, 2)
    copies = CopyRecipe(short_side=128)
    moved = Manifest(first.rows.assign(path="elsewhere", file="elsewhere"), "folder", "/moved", first.classes, "/c")
    assert moved.sha256 == first.sha256
    changed = [
        Manifest(first.rows.assign(file_sha256="0"), "folder", "/data", first.classes),
        Manifest(first.rows.assign(sha256="0"), "folder", "/data", first.classes),
        Manifest(first.rows.assign(frames=299), "folder", "/data", first.classes),
        Manifest(first.rows, "folder", "/data", first.classes[::-1]),
        Manifest(first.rows, "folder", "/data", first.classes, "/c", copies),
        Manifest(first.rows, "folder", "/data", first.classes, "/c", copies.model_copy(update={"crf": 20})),
    ]
    assert len({manifest.sha256 for manifest in (first, *changed)}) == len(changed) + 1


def test_a_duplicate_is_one_in_training_beside_its_twin_alone():
    rows = synthetic(6, 1).rows
    rows["split_1"] = ["test", "train", "train", "train", "test", "test"]
    rows["split_2"] = ["train", "test", "train", "train", "test", "train"]
    rows.loc[1, "sha256"] = rows.loc[0, "sha256"]  # each leaks into the test of the other's split
    rows.loc[[0, 1], "status"], rows.loc[[0, 1], "reason"] = "duplicate", "is another"
    rows.loc[5, "status"] = "missing"
    manifest = Manifest(rows, "folder", "/data", ("class",))
    chosen = {(split, part): manifest.select(split, part).index.size for split in (1, 2) for part in ("train", "test")}
    assert chosen == {(1, "train"): 2, (1, "test"): 2, (2, "train"): 2, (2, "test"): 2}
    assert manifest.select(1, "test")["id"].tolist() == ["class/video_0", "class/video_4"]
    assert manifest.select(1, "test")["reason"].tolist() == ["", ""]
    assert manifest.excluded(1, "train")[["id", "status"]].values.tolist() == [["class/video_1", "duplicate"]]
    assert manifest.excluded(1, "test")["status"].tolist() == ["missing"]
    assert set(manifest.excluded(2, "train")["status"]) == {"duplicate", "missing"}
