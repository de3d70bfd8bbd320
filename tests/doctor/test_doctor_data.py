"""The doctor on data sets: real files, as they are and damaged."""

import hashlib
import shutil

import pytest

from dynamonet.data.layouts import ucf101 as layout
from dynamonet.data.listing import read_listing
from dynamonet.doctor.datasets import check_checkpoints, check_dataset
from dynamonet.doctor.finding import OK, PROBLEM, WARNING
from dynamonet.study import load_study


@pytest.fixture
def ucf101(tiny, motion_home, tmp_path, monkeypatch):
    """A study whose data set is given as users give theirs: `root`, a copy, and what the doctor finds."""
    monkeypatch.chdir(tmp_path)
    study = load_study(tiny)
    root = tmp_path / "ucf101"
    shutil.copytree(motion_home / study.motion_root / "ucf101", root)

    def found(**config):
        tiny["datasets"]["ucf101"] = {"layout": "ucf101", "root": str(root), "splits": [1, 2, 3], **config}
        return list(check_dataset(load_study(tiny), "ucf101"))

    found.root = root
    found.videos = sorted(root.glob("UCF-101/*/*.avi"))
    return found


def says(findings, state: str) -> str:
    return " | ".join(f"{one.says} -> {one.mend}" for one in findings if one.state == state)


def test_lists_files_and_counts(ucf101):
    found = ucf101()
    assert "36 of 36 listed files that were looked for are there" in says(found, OK)
    assert "3 files decode from end to end" in says(found, OK)
    assert (
        "36 videos of 12 classes are listed; other than officially: 12 classes (officially 101); "
        "36 videos (officially 13320); 24 training videos of split 1 (officially 9537); 12 test videos of split 1"
    ) in says(found, WARNING)
    assert not says(found, PROBLEM)


def test_the_lists_of_every_split_are_held_against_the_official_counts(ucf101, monkeypatch):
    splits = {split: {"train": 24, "test": 12} for split in ("1", "2", "3")}
    official = {"classes": 12, "listed": 36, "splits": splits, "source": "this test"}
    monkeypatch.setattr(layout, "OFFICIAL_COUNTS", official)
    assert "36 videos of 12 classes are listed, in all splits as officially" in says(ucf101(), OK)
    path = ucf101.root / "ucfTrainTestlist/trainlist03.txt"
    path.write_text(path.read_text().partition("\n")[2])  # the video stays listed by the other splits
    other = "are listed; other than officially: 23 training videos of split 3 (officially 24) -> nothing"
    assert other in says(ucf101(), WARNING)


def test_missing_files_are_a_warning_unless_the_study_allows_them(ucf101):
    ucf101.videos[0].unlink()
    assert "35 of 36 listed files" in says(ucf101(), WARNING)
    assert "35 of 36 listed files" in says(ucf101(max_unusable=1), OK)
    for video in ucf101.videos[1:]:
        video.unlink()
    assert "0 of 36 listed files" in says(ucf101(max_unusable=1), PROBLEM)


def test_damaged_files_are_named(ucf101):
    first = ucf101.root / read_listing("ucf101", ucf101.root).videos[0].path
    first.write_bytes(b"no video")
    assert f"of 3 files 1 do not decode: {first}" in says(ucf101(), WARNING)
    for video in ucf101.videos:
        video.write_bytes(b"no video")
    assert "of 3 files 3 do not decode" in says(ucf101(), PROBLEM)


def test_another_layout_and_a_missing_list_are_problems(ucf101):
    assert "is not read as hmdb51" in says(ucf101(layout="hmdb51", splits=[1]), PROBLEM)
    (ucf101.root / "ucfTrainTestlist/testlist02.txt").unlink()
    assert "testlist02.txt" in says(ucf101(), PROBLEM)


def test_folders_for_copies_and_flow(ucf101, tmp_path):
    copies = {"short_side": 32, "folder": str(tmp_path / "copies")}
    assert "can be made and is writable" in says(ucf101(copies=copies), OK)
    taken = {**copies, "folder": str(ucf101.videos[0])}
    assert "cannot be written to" in says(ucf101(copies=taken), PROBLEM)
    assert "mkdir -p" in says(ucf101(flow_root=str(tmp_path / "flow")), PROBLEM)


def test_checkpoints_are_held_against_their_hash(tiny, tmp_path):
    file = tmp_path / "r3d18.pth"
    tiny["checkpoints"] = {
        "r3d18": {"format": "3d_resnets", "path": str(file), "sha256": hashlib.sha256(b"weights").hexdigest()}
    }
    study = load_study(tiny)
    assert "does not exist" in says(check_checkpoints(study), PROBLEM)
    file.write_bytes(b"others")
    assert "another file than the study's SHA-256 says" in says(check_checkpoints(study), PROBLEM)
    file.write_bytes(b"weights")
    assert says(check_checkpoints(study), OK)
