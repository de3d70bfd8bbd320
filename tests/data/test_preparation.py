import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from labelled_clips import TEST, TRAIN, ledger_keys, refused, write_clips, write_lists

from dynamonet.cli import main
from dynamonet.data import checking, checking_pool
from dynamonet.data.encoding import encode
from dynamonet.data.leaks import refuse_shared_groups
from dynamonet.data.listing import read_listing
from dynamonet.data.manifest import Manifest
from dynamonet.data.preparation import prepare
from dynamonet.errors import UserError
from dynamonet.files import read_json, sha256_file, write_json


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working folder, in which the ledgers lie."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def root(tmp_path, barcodes):
    return write_clips(tmp_path / "clips", barcodes)


def test_prepare(root, tmp_path):
    calls = []
    counts = prepare("folder", root, tmp_path / "m.parquet", progress=lambda done, total: calls.append((done, total)))
    manifest = Manifest.load(tmp_path / "m.parquet")
    assert calls == [(done, 5) for done in range(1, 6)]
    assert (counts["listed"], counts["found"], counts["decodable"], counts["classes"]) == (5, 5, 5, 2)
    assert counts["splits"] == counts["listed_by_split"] == {"1": {"train": 3, "test": 2}}
    assert counts["unusable"] == [] and counts["failures"] == {} and counts["copies"] is None
    assert counts["frames"] == 10 + 11 + 12 + 13 + 14
    assert counts["frames_per_video"] == {"min": 10, "p5": 10, "median": 12, "p95": 14, "max": 14}
    assert set(counts["short_side"].values()) == {64}
    assert counts["bytes"] == sum((root / file).stat().st_size for file in TRAIN + TEST)
    assert counts["duration_h"] == pytest.approx(60 / 25 / 3600, abs=1e-4)
    assert list(counts["decoders"].values()) == [5]
    assert counts["regular_clock"] == 3  # the AVI files have B-frames
    assert counts["manifest_sha256"] == manifest.sha256
    assert (manifest.classes, manifest.layout, manifest.root) == (("jump", "wave"), "folder", root)
    assert manifest.rows["class_index"].tolist() == [1, 1, 0, 1, 0]
    assert manifest.rows["frames"].tolist() == [10, 11, 12, 13, 14]
    assert manifest.rows["sha256"].tolist() == [sha256_file(root / file) for file in TRAIN + TEST]
    assert manifest.select(1, "test")["path"].tolist() == list(TEST)
    read = manifest.rows[["path", "sha256"]].values.tolist()
    assert manifest.files_root == root and manifest.rows[["file", "file_sha256"]].values.tolist() == read
    assert (manifest.rows["pts_step"] > 0).tolist() == [file.endswith("mp4") for file in TRAIN + TEST]


def test_workers_shards_and_places_change_nothing(root, tmp_path):
    prepare("folder", root, tmp_path / "one.parquet")
    prepare("folder", root, tmp_path / "two.parquet", workers=2, checked=tmp_path / "others")
    shards = [
        prepare("folder", root, tmp_path / "none.parquet", shard=(number, 3), checked=tmp_path / "shared")
        for number in (3, 1, 2)
    ]
    assert [(shard["files"], shard["looked_at"]) for shard in shards] == [(1, 1), (2, 2), (2, 2)]
    assert not (tmp_path / "none.parquet").exists()
    counts = prepare("folder", root, tmp_path / "three.parquet", checked=tmp_path / "shared")
    assert counts["looked_at"] == 0 and counts["decodable"] == 5
    one = (tmp_path / "one.parquet").read_bytes()
    assert one == (tmp_path / "two.parquet").read_bytes() == (tmp_path / "three.parquet").read_bytes()
    shutil.move(root, tmp_path / "moved")
    moved = prepare("folder", tmp_path / "moved", tmp_path / "four.parquet")
    assert moved["manifest_sha256"] == Manifest.load(tmp_path / "one.parquet").sha256


def test_what_is_known_is_not_looked_at_again(root, tmp_path, monkeypatch):
    out = tmp_path / "m.parquet"
    assert prepare("folder", root, out)["looked_at"] == 5
    first = out.read_bytes()
    monkeypatch.setattr(checking_pool, "ProcessPool", None)
    assert prepare("folder", root, out)["looked_at"] == 0
    assert out.read_bytes() == first


def test_a_changed_file_and_a_changed_check_are_looked_at_again(root, tmp_path, barcodes, monkeypatch):
    first = prepare("folder", root, tmp_path / "m.parquet")
    os.utime(root / TEST[0], ns=(0, 0))
    encode(root / TEST[1], map(barcodes.draw, range(1, 14)), "dx50", 25)
    second = prepare("folder", root, tmp_path / "m.parquet")
    assert second["looked_at"] == 2 and second["manifest_sha256"] != first["manifest_sha256"]
    monkeypatch.setattr(checking, "CHECK_VERSION", checking.CHECK_VERSION + 1)
    assert prepare("folder", root, tmp_path / "m.parquet")["looked_at"] == 5


@pytest.fixture
def many(tmp_path, barcodes):
    """A folder of 30 videos without labels, and the spec of the data set."""
    for number in range(30):
        encode(tmp_path / "many" / f"{number}.mp4", map(barcodes.draw, range(20 + number)), "h264", 25)
    spec = dict(dataset="many", layout="unlabelled", root=str(tmp_path / "many"), max_unusable=0)
    write_json(tmp_path / "many.spec.json", spec)
    return tmp_path / "many.spec.json"


def prepare_command(spec_path, *options):
    return [sys.executable, "-m", "dynamonet.cli", "prepare", "--spec", str(spec_path), *options]


def test_a_killed_preparation_goes_on_where_it_was(many, tmp_path):
    killed = subprocess.Popen(prepare_command(many, "--workers", "2"), stderr=subprocess.PIPE)
    while len(ledger_keys()) < 4:
        assert killed.poll() is None
        time.sleep(0.01)
    children = psutil.Process(killed.pid).children(recursive=True)
    killed.kill()
    killed.wait()
    killed.stderr.close()
    psutil.wait_procs(children, timeout=20)
    assert not [child for child in children if child.is_running()]
    known = len(ledger_keys())
    assert 4 <= known < 30
    subprocess.run(prepare_command(many), check=True)
    assert read_json(tmp_path / "many.json")["counts"]["looked_at"] == 30 - known
    assert len(ledger_keys()) == len(set(ledger_keys())) == 30
    resumed = (tmp_path / "many.parquet").read_bytes()
    prepare("unlabelled", tmp_path / "many", tmp_path / "again.parquet", checked=tmp_path / "others")
    assert resumed == (tmp_path / "again.parquet").read_bytes()


def test_a_preparation_that_is_asked_to_stop_ends_with_75(many):
    stopped = subprocess.Popen(prepare_command(many, "--workers", "2"), stderr=subprocess.PIPE, text=True)
    while not ledger_keys():
        assert stopped.poll() is None
        time.sleep(0.01)
    for process in (stopped, *psutil.Process(stopped.pid).children(recursive=True)):
        process.send_signal(signal.SIGUSR2)  # as SLURM does, to all processes of a job
    _, said = stopped.communicate(timeout=60)
    assert stopped.returncode == 75 and "stopped by SIGUSR2" in said and "Traceback" not in said


def test_a_class_without_usable_videos_is_refused(root, tmp_path):
    (root / "jump/e.avi").unlink()
    message = refused(root, tmp_path / "m.parquet", max_unusable=1)
    assert message.endswith("has no usable test video of 1 of its 2 classes (jump); add their files.")


def test_the_first_classes_without_usable_videos_are_named(root, tmp_path):
    write_lists(root, (*TRAIN, *(f"{name}/gone.mp4" for name in "abcd")), TEST)
    message = refused(root, tmp_path / "m.parquet", max_unusable=4)
    assert message.endswith("has no usable training video of 4 of its 6 classes (a, b, c, …); add their files.")


def test_an_unlabelled_folder_too_small_to_have_a_test_part_is_told_so(root, tmp_path):
    (root / "only").mkdir()
    shutil.copy(root / TRAIN[0], root / "only/a.mp4")
    with pytest.raises(UserError) as caught:
        prepare("unlabelled", root / "only", tmp_path / "m.parquet")
    assert str(caught.value) == (
        f"None of the 1 videos of {root / 'only'} falls into the test part, which layout unlabelled chooses by their"
        " paths; add videos."
    )


def test_a_data_set_for_evaluation_only_has_no_training_video(root, tmp_path):
    write_lists(root, (), TRAIN + TEST)
    counts = prepare("folder", root, tmp_path / "m.parquet")
    assert counts["splits"] == {"1": {"train": 0, "test": 5}}
    with pytest.raises(UserError, match="has no usable train video"):
        Manifest.load(tmp_path / "m.parquet").select(1, "train")


def test_a_bad_list_is_refused(root, tmp_path):
    (root / "testlist01.txt").write_text("wave/../../secret.mp4\n")
    assert "leaves the data set's root" in refused(root, tmp_path / "m.parquet")


def test_a_training_video_with_the_content_of_a_test_video_is_left_out(root, tmp_path):
    shutil.copy(root / TEST[0], root / "wave/twin.mp4")
    shutil.copy(root / TRAIN[0], root / "wave/again.mp4")
    write_lists(root, (*TRAIN, "wave/twin.mp4", "wave/again.mp4"), TEST)
    assert "wave/twin.mp4: is wave/d.mp4 of the test part of split 1" in refused(root, tmp_path / "m.parquet")
    counts = prepare("folder", root, tmp_path / "m.parquet", max_unusable=1)
    assert counts["duplicates"]["left_out_of_training"] == 1
    assert counts["duplicates"]["kept_within_parts"] == {"1": {"train": 1, "test": 0}}
    assert counts["splits"] == {"1": {"train": 4, "test": 2}} and counts["decodable"] == 7
    manifest = Manifest.load(tmp_path / "m.parquet")
    assert manifest.select(1, "train")["path"].tolist() == [*TRAIN, "wave/again.mp4"]
    assert manifest.select(1, "test")["path"].tolist() == list(TEST)
    assert manifest.excluded(1, "train")[["id", "status"]].values.tolist() == [["wave/twin", "duplicate"]]


def test_a_twin_is_judged_in_each_split_by_itself(root, tmp_path):
    """Training of split 1, and with the content of a video that is test in split 2 alone: no leak."""
    shutil.copy(root / TRAIN[0], root / "wave/twin.mp4")
    write_lists(root, (*TRAIN, "wave/twin.mp4"), TEST)
    (root / "trainlist02.txt").write_text("wave/b.mp4 2\njump/c.avi 1\n")
    (root / "testlist02.txt").write_text("wave/a.mp4\njump/e.avi\n")
    counts = prepare("folder", root, tmp_path / "m.parquet")
    assert counts["duplicates"]["left_out_of_training"] == 0 and counts["decodable"] == 6
    (tmp_path / "m.parquet").unlink()
    (root / "trainlist02.txt").write_text("wave/twin.mp4 2\nwave/b.mp4 2\njump/c.avi 1\n")
    assert "wave/twin.mp4: is wave/a.mp4 of the test part of split 2)" in refused(root, tmp_path / "m.parquet")
    prepare("folder", root, tmp_path / "m.parquet", max_unusable=1)
    manifest = Manifest.load(tmp_path / "m.parquet")
    assert manifest.select(1, "train")["path"].tolist() == [*TRAIN, "wave/twin.mp4"]
    assert manifest.select(2, "train")["path"].tolist() == ["wave/b.mp4", "jump/c.avi"]
    assert manifest.excluded(2, "train")["path"].tolist() == ["wave/twin.mp4"]


def test_a_group_in_both_parts_is_refused_before_any_file_is_looked_at(root, tmp_path):
    write_lists(root, ("wave/v_Wave_g01_c01.avi", *TRAIN), ("wave/v_Wave_g01_c02.avi", *TEST))
    message = refused(root, tmp_path / "m.parquet")
    assert "v_Wave_g01_c01.avi in training" in message and "v_Wave_g01_c02.avi in test" in message
    assert not Path("data").exists()


def test_the_official_lists_of_ucf101_divide_no_group(annotations, tmp_path):
    (tmp_path / "ucfTrainTestlist").symlink_to(annotations / "ucf101")
    listing = read_listing("ucf101", tmp_path)
    assert len({video.group for video in listing.videos}) == 101 * 25
    refuse_shared_groups(listing)


def test_real_clips(real_clips, tmp_path):
    root = Path(os.path.commonpath(real_clips))
    counts = prepare("unlabelled", root, tmp_path / "m.parquet", max_unusable=1, workers=2)
    assert [row["path"] for row in counts["unusable"]] == ["edge/decord_corrupted.mp4"]
    rows = Manifest.load(tmp_path / "m.parquet").rows
    assert (rows.loc[rows["status"] == "ok", "frames"] > 0).all()


def test_the_stage_leaves_a_record_and_a_page_and_shards_their_own(root, tmp_path, capsys):
    shutil.copy(root / TEST[0], root / "wave/twin.mp4")
    write_lists(root, (*TRAIN, "wave/twin.mp4", "wave/absent|.mp4"), TEST)
    spec = tmp_path / "clips.spec.json"
    write_json(spec, dict(dataset="clips", layout="folder", root=str(root), max_unusable=2, shards=2))
    for shard in ("1/2", "2/2"):
        assert main(["prepare", "--spec", str(spec), "--shard", shard]) == 0
    shards = [read_json(tmp_path / f"clips.{number}-of-2.json") for number in (1, 2)]
    assert [shard["counts"]["looked_at"] for shard in shards] == [3, 3]
    assert not (tmp_path / "clips.parquet").exists()
    assert main(["prepare", "--spec", str(spec)]) == 0
    record = read_json(tmp_path / "clips.json")
    assert record["manifest_sha256"] == Manifest.load(tmp_path / "clips.parquet").sha256
    assert record["classes"] == ["jump", "wave"] and record["counts"]["looked_at"] == 0
    page = (tmp_path / "clips.md").read_text()
    assert "| `wave/twin.mp4` | duplicate | is wave/d.mp4 of the test part of split 1 |" in page
    assert r"| `wave/absent\|.mp4` | missing | there is no such file |" in page
    for line in ("| listed | 7 |", "| found | 6 |", "| decodable | 6 |", "| 1 | train | - | 5 | 3 |"):
        assert line in page, line
    assert main(["prepare", "--spec", str(spec), "--estimate"]) == 2
    assert "asks for no copies" in capsys.readouterr().err


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b", "1/2/3", "-1/2"])
def test_a_shard_that_is_none_is_refused(shard, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["prepare", "--spec", "clips.spec.json", f"--shard={shard}"])
    assert ended.value.code == 2 and "is not I/N" in capsys.readouterr().err
