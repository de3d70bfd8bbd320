import shutil

import numpy as np
import pandas as pd
import pytest

from dynamonet.data.encoding import encode
from dynamonet.data.manifest import Manifest, prepare
from dynamonet.errors import UserError

TRAIN = ("wave/a.mp4", "wave/b.mp4", "jump/c.avi")
TEST = ("wave/d.mp4", "jump/e.avi")


@pytest.fixture
def root(tmp_path, barcodes):
    root = tmp_path / "clips"
    for number, file in enumerate(TRAIN + TEST):
        encode(
            root / file,
            map(barcodes.draw, range(10 + number)),
            "h264" if file.endswith("mp4") else "dx50",
            25,
        )
    numbers = {"wave": 1, "jump": 2}
    (root / "classInd.txt").write_text("1 wave\n2 jump\n")
    (root / "trainlist01.txt").write_text("".join(f"{file} {numbers[file.split('/')[0]]}\n" for file in TRAIN))
    (root / "testlist01.txt").write_text("".join(f"{file}\n" for file in TEST))
    return root


def refused(root, out, **options):
    """The message of a refusal that left nothing behind."""
    with pytest.raises(UserError) as caught:
        prepare("folder", root, out, **options)
    assert not list(out.parent.glob("*.parquet"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_prepare(root, tmp_path):
    calls = []
    counts = prepare("folder", root, tmp_path / "m.parquet", progress=lambda done, total: calls.append((done, total)))
    manifest = Manifest.load(tmp_path / "m.parquet")
    assert calls[-1] == (5, 5)
    assert (counts["listed"], counts["found"], counts["decodable"], counts["classes"]) == (5, 5, 5, 2)
    assert counts["splits"] == {"1": {"train": 3, "test": 2}} and counts["unusable"] == []
    assert counts["frames"] == 10 + 11 + 12 + 13 + 14
    assert counts["bytes"] == sum((root / file).stat().st_size for file in TRAIN + TEST)
    assert counts["manifest_sha256"] == manifest.sha256
    assert (manifest.classes, manifest.layout, manifest.root) == (("wave", "jump"), "folder", root)
    assert manifest.rows["class_index"].tolist() == [0, 0, 1, 0, 1]
    assert manifest.rows["frames"].tolist() == [10, 11, 12, 13, 14]
    assert manifest.select(1, "test")["path"].tolist() == list(TEST)


def test_workers_and_places_change_nothing(root, tmp_path):
    prepare("folder", root, tmp_path / "one.parquet")
    prepare("folder", root, tmp_path / "two.parquet", workers=2)
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    shutil.move(root, tmp_path / "moved")
    moved = prepare("folder", tmp_path / "moved", tmp_path / "three.parquet")
    assert moved["manifest_sha256"] == Manifest.load(tmp_path / "one.parquet").sha256


def test_other_content_is_another_manifest(root, tmp_path, barcodes):
    first = prepare("folder", root, tmp_path / "one.parquet")
    encode(root / TEST[0], map(barcodes.draw, range(1, 14)), "h264", 25)
    assert prepare("folder", root, tmp_path / "two.parquet")["manifest_sha256"] != first["manifest_sha256"]


def test_unusable_videos_are_refused_and_named(root, tmp_path):
    (root / "wave/a.mp4").unlink()
    (root / "wave/b.mp4").write_bytes(b"")
    message = refused(root, tmp_path / "m.parquet", max_unusable=1)
    assert "2 of 5" in message and "wave/a.mp4: there is no such file; wave/b.mp4: cannot be opened" in message


def test_unusable_videos_up_to_the_limit_are_listed(root, tmp_path):
    (root / "wave/a.mp4").write_bytes((root / "wave/a.mp4").read_bytes()[:-200])
    counts = prepare("folder", root, tmp_path / "m.parquet", max_unusable=1)
    manifest = Manifest.load(tmp_path / "m.parquet")
    assert (counts["found"], counts["decodable"]) == (5, 4)
    assert [row["id"] for row in counts["unusable"]] == ["wave/a"]
    assert manifest.select(1, "train")["id"].tolist() == ["wave/b", "jump/c"]
    assert manifest.excluded(1, "train")[["id", "status"]].values.tolist() == [["wave/a", "undecodable"]]
    assert manifest.excluded(1, "test").empty


def test_class_without_usable_videos_is_refused(root, tmp_path):
    (root / "jump/e.avi").unlink()
    message = refused(root, tmp_path / "m.parquet", max_unusable=1)
    assert "Class 'jump' has no usable test video in split 1" in message


def test_bad_list_is_refused(root, tmp_path):
    (root / "testlist01.txt").write_text("wave/../../secret.mp4\n")
    assert "leaves the data set's root" in refused(root, tmp_path / "m.parquet")


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
        split_1=np.where(np.arange(n) % 10 == 0, "test", "train"),
        frames=300,
        width=340,
        height=256,
        fps=29.97,
        bytes=10**6,
        sha256=[f"{number:064x}" for number in range(n)],
        status="ok",
        reason="",
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
