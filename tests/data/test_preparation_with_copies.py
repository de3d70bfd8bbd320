import shutil

import pytest
import stuck_checks

from dynamonet.cli import main
from dynamonet.data import checking, checking_pool
from dynamonet.data.copy_recipe import CopyRecipe, copy_path
from dynamonet.data.encoding import encode
from dynamonet.data.manifest import Manifest
from dynamonet.data.preparation import prepare
from dynamonet.data.seeking import FrameClock
from dynamonet.data.video import read_frames
from dynamonet.errors import UserError
from dynamonet.files import read_json, sha256_file, write_json

RECIPE = CopyRecipe(short_side=32)
FRAMES = {"a b.mp4": 12, "c+!.avi": 21, "d.mp4": 9, "e.avi": 17}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working folder, in which the ledgers lie."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def root(tmp_path, barcodes):
    root = tmp_path / "clips"
    for name, frames in FRAMES.items():
        encode(root / "wave" / name, map(barcodes.draw, range(frames)), "h264" if name.endswith("4") else "dx50", 25)
    (root / "classInd.txt").write_text("1 wave\n")
    (root / "trainlist01.txt").write_text("wave/a b.mp4 1\nwave/c+!.avi 1\n")
    (root / "testlist01.txt").write_text("wave/d.mp4\nwave/e.avi\n")
    return root


def copied(root, out, **options):
    said = []
    counts = prepare(
        "folder", root, out, copies=RECIPE, copies_folder=out.parent / "copies", announce=said.append, **options
    )
    return counts, said


def test_a_manifest_names_the_copies_and_says_what_they_are(root, tmp_path):
    calls = []
    counts, said = copied(root, tmp_path / "m.parquet", progress=lambda done, total: calls.append((done, total)))
    assert calls == [(done, 8) for done in range(1, 9)]
    manifest = Manifest.load(tmp_path / "m.parquet")
    assert (manifest.copies, manifest.root, manifest.files_root) == (RECIPE, root, tmp_path / "copies")
    rows = manifest.rows
    assert rows["frames"].tolist() == list(FRAMES.values())
    assert set(rows["width"]) == {48} and set(rows["height"]) == {32}
    assert rows["sha256"].tolist() == [sha256_file(root / path) for path in rows["path"]]
    assert rows["bytes"].tolist() == [(root / path).stat().st_size for path in rows["path"]]
    files = [manifest.files_root / file for file in rows["file"]]
    assert files == [copy_path(tmp_path / "copies", sha256, RECIPE) for sha256 in rows["sha256"]]
    assert rows["file_sha256"].tolist() == [sha256_file(file) for file in files]
    for row, file in zip(rows.itertuples(), files, strict=True):
        clock = FrameClock(row.first_pts, row.pts_step)
        last = read_frames(file, [row.frames - 1], clock)
        assert (last == read_frames(file, range(row.frames))[-1:]).all()
    assert counts["decodable"] == 4 and counts["frames"] == sum(FRAMES.values())
    copies = counts["copies"]
    assert (copies["copied"], copies["files"]) == (4, 4)
    assert copies["bytes"] == sum(file.stat().st_size for file in files)
    assert copies["psnr_mean_db"] >= copies["psnr_min_db"] > 30
    assert said == [copies["estimate"]["text"]] and said[0].startswith("4 copies with short side 32")
    assert copies["estimate"]["gigabytes"] == pytest.approx(copies["bytes"] / 1e9)
    plain = prepare("folder", root, tmp_path / "plain.parquet")
    assert plain["looked_at"] == 0 and plain["manifest_sha256"] != counts["manifest_sha256"]


def test_what_copies_will_take_is_said_before_the_first_is_made(root, tmp_path):
    there = []
    prepare(
        *("folder", root, tmp_path / "m.parquet"),
        copies=RECIPE,
        copies_folder=tmp_path / "copies",
        announce=lambda text: there.append((text[:8], list((tmp_path / "copies").rglob("*.mp4")))),
    )
    assert there == [("4 copies", [])] and len(list((tmp_path / "copies").rglob("*.mp4"))) == 4


def test_lists_that_have_changed_have_another_estimate(root, tmp_path):
    lists = {path: path.read_text() for path in sorted(root.glob("t*list01.txt"))}
    for path, text in lists.items():
        path.write_text(text.splitlines(keepends=True)[0])
    few, said = copied(root, tmp_path / "m.parquet")
    assert said[0].startswith("2 copies with")
    for path, text in lists.items():
        path.write_text(text)
    every, said = copied(root, tmp_path / "m.parquet")
    assert said == [every["copies"]["estimate"]["text"]] and said[0].startswith("4 copies with")
    assert every["copies"]["estimate"]["gigabytes"] > few["copies"]["estimate"]["gigabytes"]


def test_copies_are_made_once_whatever_the_workers_and_shards(root, tmp_path, monkeypatch):
    copied(root, tmp_path / "m.parquet", workers=2, checked=tmp_path / "others")
    bytes_of_copies = {path: path.read_bytes() for path in (tmp_path / "copies").rglob("*.mp4")}
    shutil.rmtree(tmp_path / "copies")
    shards = [copied(root, tmp_path / "none.parquet", shard=(number, 2)) for number in (1, 2)]
    assert [counts["looked_at"] for counts, _ in shards] == [2, 2]
    assert shards[0][1] == shards[1][1] and shards[0][1][0].startswith("4 copies")
    assert {path: path.read_bytes() for path in (tmp_path / "copies").rglob("*.mp4")} == bytes_of_copies
    monkeypatch.setattr(checking_pool, "ProcessPool", None)
    last, said = copied(root, tmp_path / "n.parquet")
    assert last["looked_at"] == 0 and said == []
    assert last["copies"]["estimate"]["text"] == shards[0][1][0]
    assert (tmp_path / "m.parquet").read_bytes() == (tmp_path / "n.parquet").read_bytes()


def test_a_lost_or_damaged_copy_is_made_again(root, tmp_path):
    copied(root, tmp_path / "m.parquet")
    first = (tmp_path / "m.parquet").read_bytes()
    lost, damaged, *_ = sorted((tmp_path / "copies").rglob("*.mp4"))
    lost.unlink()
    damaged.write_bytes(damaged.read_bytes()[:-100])
    counts, _ = copied(root, tmp_path / "m.parquet")
    assert counts["looked_at"] == 2 and (tmp_path / "m.parquet").read_bytes() == first


def test_equal_files_share_a_copy(root, tmp_path):
    shutil.copy(root / "wave/a b.mp4", root / "wave/twin.mp4")
    (root / "trainlist01.txt").write_text("wave/a b.mp4 1\nwave/c+!.avi 1\nwave/twin.mp4 1\n")
    counts, _ = copied(root, tmp_path / "m.parquet", workers=2)
    assert (counts["copies"]["copied"], counts["copies"]["files"]) == (5, 4)
    assert copied(root, tmp_path / "m.parquet", workers=2)[0]["looked_at"] == 0


def test_a_folder_that_takes_no_copies_stops_at_the_first(root, tmp_path):
    (tmp_path / "copies").write_text("in the way")
    with pytest.raises(
        UserError, match=r"copies does not take the copy of .*/wave/.* \(.+\); mend that and start again"
    ):
        copied(root, tmp_path / "m.parquet")
    assert not (tmp_path / "m.parquet").exists()
    (tmp_path / "copies").unlink()
    assert copied(root, tmp_path / "m.parquet")[0]["looked_at"] == 4


def test_a_video_that_cannot_be_copied_is_named(root, tmp_path, monkeypatch):
    monkeypatch.setattr(checking, "examine", stuck_checks.examine)
    (root / "wave/c+!.avi").rename(root / "wave/noisy.avi")
    (root / "trainlist01.txt").write_text("wave/a b.mp4 1\nwave/noisy.avi 1\n")
    with pytest.raises(UserError, match=r"1 of 4 .*\(wave/noisy\.avi: cannot be copied: gives a copy that is noise\)"):
        copied(root, tmp_path / "m.parquet")
    counts, _ = copied(root, tmp_path / "m.parquet", max_unusable=1)
    assert (counts["decodable"], counts["copies"]["copied"]) == (3, 3)
    (row,) = Manifest.load(tmp_path / "m.parquet").excluded(1, "train").itertuples()
    assert (row.id, row.status, row.file_sha256) == ("wave/noisy", "undecodable", "")


def test_the_stage_says_what_copies_will_take(root, tmp_path, capsys):
    spec = dict(dataset="clips", layout="folder", root=str(root), max_unusable=0)
    spec |= dict(copies=RECIPE.model_dump(), copies_folder="copies")
    write_json(tmp_path / "clips.spec.json", spec)
    assert main(["prepare", "--spec", "clips.spec.json", "--estimate"]) == 0
    assert capsys.readouterr().out.startswith("4 copies with short side 32 and crf 18 will take about")
    assert not (tmp_path / "copies").exists() and not (tmp_path / "clips.parquet").exists()
    assert main(["prepare", "--spec", "clips.spec.json"]) == 0
    assert "4 copies with short side 32" in capsys.readouterr().err
    page = (tmp_path / "clips.md").read_text()
    assert "Estimated before: 4 copies with short side 32" in page and "Made: 4 copies in 4 files" in page
    assert read_json(tmp_path / "clips.json")["counts"]["copies"]["recipe"] == RECIPE.model_dump()
