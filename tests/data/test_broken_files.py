"""Files that are no whole video: each is named, counted and left out, and nothing hangs."""

import os
import shutil

import av
import numpy as np
import pytest
import stuck_checks
from labelled_clips import TEST, TRAIN, ledger_keys, refused, write_clips, write_lists

from dynamonet.data import checking, checking_pool
from dynamonet.data.encoding import encode
from dynamonet.data.manifest import Manifest
from dynamonet.data.preparation import prepare


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working folder, in which the ledgers lie."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def root(tmp_path, barcodes):
    return write_clips(tmp_path / "clips", barcodes)


BROKEN = {
    "empty.mp4": "cannot be opened",
    "text.avi": "cannot be opened",
    "sound only.mp4": "has no video stream",
    "cut.mp4": "cannot be opened",
    "a folder.mp4": "is a folder",
    "a pipe.mp4": "is no regular file",
    "loop.mp4": "cannot be read (Too many levels of symbolic links)",
    "hangs.mp4": "kept the decoder busy",
    "crashes.mp4": "crashed the decoder",
    "absent.mp4": "there is no such file",
    "dangling.mp4": "there is no such file",
}
GOOD = ("one frame.mp4", "Tips_-_300+_Yards!!!_[x] (y)#1;2'3$4.avi", "ü ° 漢.mp4", "-n.mp4", "%d *?.mp4")


@pytest.fixture
def mixed(root, barcodes):
    """Good and broken files, most of them in training, on one list."""
    folder = root / "wave"
    for number, name in enumerate(GOOD):
        frames = 1 if name == "one frame.mp4" else 5 + number
        encode(folder / name, map(barcodes.draw, range(frames)), "h264" if name.endswith("mp4") else "dx50", 25)
    (folder / "empty.mp4").touch()
    (folder / "text.avi").write_text("no video\n" * 100)
    write_sound(folder / "sound only.mp4")
    (folder / "cut.mp4").write_bytes((root / TRAIN[0]).read_bytes()[:-200])
    (folder / "a folder.mp4").mkdir()
    os.mkfifo(folder / "a pipe.mp4")
    (folder / "loop.mp4").symlink_to("loop.mp4")
    (folder / "dangling.mp4").symlink_to("nowhere")
    for name in ("hangs.mp4", "crashes.mp4"):
        encode(folder / name, map(barcodes.draw, range(30)), "h264", 25)
    write_lists(root, (*TRAIN, *(f"wave/{name}" for name in (*GOOD, *BROKEN))), TEST)
    return root


def write_sound(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        frame.rate = 16000
        container.mux([*stream.encode(frame), *stream.encode()])


def test_broken_files_are_named_and_counted_and_nothing_hangs(mixed, tmp_path, monkeypatch):
    monkeypatch.setattr(checking, "examine", stuck_checks.examine)
    monkeypatch.setattr(checking_pool, "PATIENCE_S", 2.0)
    said = []
    message = refused(mixed, tmp_path / "m.parquet", max_unusable=len(BROKEN) - 1, workers=2, announce=said.append)
    assert len(said) == len(BROKEN) and all(any(f": wave/{name}: " in line for line in said) for name in BROKEN)
    assert f"{len(BROKEN)} of {5 + len(GOOD) + len(BROKEN)} listed videos" in message and "and 8 more" in message
    counts = prepare("folder", mixed, tmp_path / "m.parquet", max_unusable=len(BROKEN), workers=2)
    # What a file is stays known; what may have been an accident is tried again.
    assert counts["looked_at"] == 2
    assert (counts["found"], counts["decodable"]) == (counts["listed"] - 2, 5 + len(GOOD))
    reasons = {row["path"].removeprefix("wave/"): row["reason"] for row in counts["unusable"]}
    assert reasons.keys() == BROKEN.keys()
    for name, reason in BROKEN.items():
        assert reasons[name].startswith(reason), name
    assert sum(counts["failures"].values()) == len(BROKEN) and counts["failures"]["there is no such file"] == 2
    manifest = Manifest.load(tmp_path / "m.parquet")
    train = manifest.select(1, "train")
    assert train["path"].tolist() == [*TRAIN, *(f"wave/{name}" for name in GOOD)]
    assert train["frames"].tolist()[3:] == [1, 6, 7, 8, 9]
    excluded = manifest.excluded(1, "train").set_index("path")["status"]
    assert excluded.index.tolist() == [f"wave/{name}" for name in BROKEN]
    assert excluded.eq("missing").sum() == 2 and excluded.eq("undecodable").sum() == len(BROKEN) - 2
    assert manifest.excluded(1, "test").empty


@pytest.mark.parametrize(
    ("name", "reason"), [("forbidden.mp4", "Permission denied"), ("flickers.mp4", "Input/output error")]
)
def test_a_file_that_cannot_be_read_now_is_named_and_tried_again(name, reason, root, tmp_path, monkeypatch):
    monkeypatch.setattr(checking, "examine", stuck_checks.examine)
    shutil.move(root / TRAIN[0], root / "wave" / name)
    write_lists(root, (f"wave/{name}", *TRAIN[1:]), TEST)
    assert f"wave/{name}: cannot be read ({reason})" in refused(root, tmp_path / "m.parquet")
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert prepare("folder", root, tmp_path / "m.parquet")["looked_at"] == 1


def test_a_file_that_changes_while_it_is_read_is_not_kept(root, tmp_path, monkeypatch):
    monkeypatch.setattr(checking, "examine", stuck_checks.examine)
    shutil.move(root / TRAIN[0], root / "wave/grows.mp4")
    write_lists(root, ("wave/grows.mp4", *TRAIN[1:]), TEST)
    assert "wave/grows.mp4: changed while it was read" in refused(root, tmp_path / "m.parquet")
    assert len(ledger_keys()) == 4
