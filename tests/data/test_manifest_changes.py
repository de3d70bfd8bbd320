import pandas as pd
import pytest

from dynamonet.data.copy_recipe import CopyRecipe
from dynamonet.data.manifest import Manifest
from dynamonet.data.manifest_changes import ManifestChanges, find_manifest, keep, kept_path


def manifest(ids=("v_1", "v_2", "v_3"), classes=("a", "b"), copies=None, **columns) -> Manifest:
    texts = dict.fromkeys(("path", "group", "reason", "file", "status", "sha256", "file_sha256"), "x")
    numbers = dict.fromkeys(("width", "height", "fps", "duration_s", "first_pts", "pts_step", "bytes", "file_bytes"), 1)
    rows = {"id": ids, "class_index": 0, "frames": 120, "split_1": "train", **texts, **numbers, **columns}
    return Manifest(pd.DataFrame(rows), "ucf101", "/videos", classes, copies=copies)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (manifest(), ""),
        (manifest(frames=[120, 121, 120]), "1 row differs: v_2 frames 120 → 121"),
        (manifest(width=2, path="elsewhere"), ""),
        (manifest(ids=("v_1", "v_3")), "1 row differs: v_2 only in the first"),
        (manifest(ids=("v_1", "v_2", "v_3", "v_4")), "1 row differs: v_4 only in the second"),
        (manifest(ids=("v_3", "v_2", "v_1")), "order of rows differ"),
        (manifest(split_2=["test", "", ""]), "splits differ; 1 row differs: v_1 split_2 nothing → test"),
        (manifest(classes=("a", "c")), "classes differ"),
        (manifest(copies=CopyRecipe(short_side=128)), "copies differ"),
        (manifest(sha256=["x", "e" * 64, "x"]), "1 row differs: v_2 sha256 x → eeeeeeeeeeee"),
        (
            manifest(class_index=[1, 2, 3], ids=("v_1", "v_2", "v_4")),
            "4 rows differ: v_3 only in the first; v_4 only in the second; v_1 class_index 0 → 1; and 1 more",
        ),
    ],
)
def test_what_differs_is_said(changed, said):
    original = manifest()
    assert str(ManifestChanges.between(original, changed)) == said
    assert (said == "") == (original.sha256 == changed.sha256)


def test_an_id_that_is_listed_again_is_told_apart():
    one, other = (manifest(ids=("v_1", "v_1"), frames=frames) for frames in ([5, 6], [5, 7]))
    assert str(ManifestChanges.between(one, other)) == "1 row differs: v_1#2 frames 6 → 7"


def test_a_manifest_is_found_by_its_hash_after_another_has_taken_its_place(tmp_path):
    path = tmp_path / "ucf101.parquet"
    old, new = manifest(), manifest(frames=7)
    for one in (old, new):
        one.save(path)
        keep(one, path)
    path.unlink()
    new.save(path)
    assert find_manifest(path, old.sha256).sha256 == old.sha256
    kept_path(path, new.sha256).unlink()
    assert find_manifest(path, new.sha256).sha256 == new.sha256
    kept_path(path, old.sha256).unlink()
    assert find_manifest(path, old.sha256) is None
