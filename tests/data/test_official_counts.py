"""What a copy lists beside the official counts: silent where they are equal, said and marked where they are not."""

import shutil

import pytest

from dynamonet.cli import main
from dynamonet.data.encoding import encode
from dynamonet.data.layouts import hmdb51
from dynamonet.data.listing import official_counts, read_listing
from dynamonet.data.official import counts_to_meet, differences
from dynamonet.files import read_json, write_json

CLASSES = ("jump", "wave")
OFFICIAL = {
    "classes": 2,
    "listed": 4,
    "splits": {split: {"train": 2, "test": 2} for split in ("1", "2", "3")},
    "per_class": {"train": 1, "test": 1},
    "source": "the lists of this test",
}


@pytest.fixture
def spec(tmp_path, barcodes, monkeypatch):
    """The spec of an HMDB51 of four videos, of which OFFICIAL are the counts."""
    monkeypatch.chdir(tmp_path)
    lists = tmp_path / "hmdb51/splits"
    lists.mkdir(parents=True)
    for number, name in enumerate(CLASSES):
        for file, first in (("a.avi", 0), ("b.avi", 20)):
            frames = map(barcodes.draw, range(first + number, first + number + 5))
            encode(tmp_path / "hmdb51/videos" / name / file, frames, "dx50", 25)
        for split in (1, 2, 3):
            (lists / f"{name}_test_split{split}.txt").write_text("a.avi 1 \nb.avi 2 \n")
    path = tmp_path / "small.spec.json"
    write_json(path, dict(dataset="small", layout="hmdb51", root=str(tmp_path / "hmdb51"), max_unusable=0))
    return path


def prepared(spec, official, monkeypatch, capsys) -> tuple[list[str], str, dict]:
    """What the stage says beside its progress, its page, and the counts in its record."""
    monkeypatch.setattr(hmdb51, "OFFICIAL_COUNTS", official)
    assert main(["prepare", "--spec", str(spec)]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "officially" in line]
    return said, spec.with_name("small.md").read_text(), read_json(spec.with_name("small.json"))["counts"]


def test_the_official_counts_stand_beside_those_of_the_copy(spec, monkeypatch, capsys):
    said, page, counts = prepared(spec, OFFICIAL, monkeypatch, capsys)
    assert said == counts["other_than_officially"] == [] and counts["official"] == OFFICIAL
    for line in ("| listed officially | 4 |", "| classes officially | 2 |", "| 2 | test | 2 | 2 | 2 |"):
        assert line in page, line
    assert "Official: the lists of this test." in page
    assert "≠" not in page and "Other than" not in page


def test_every_difference_is_said_and_marked(spec, monkeypatch, capsys):
    splits = OFFICIAL["splits"] | {"2": {"train": 2, "test": 3}}
    official = OFFICIAL | dict(classes=3, listed=5, splits=splits, per_class={"train": 1, "test": 2})
    said, page, counts = prepared(spec, official, monkeypatch, capsys)
    other = [f"2 classes with other than 2 test videos in split {split} (jump 1, wave 1)" for split in (1, 2, 3)]
    numbers = [("2 classes", 3), ("4 videos", 5), (other[0], 0), ("2 test videos of split 2", 3)]
    numbers += [(other[1], 0), (other[2], 0)]
    root = spec.with_name("hmdb51")
    assert said == [f"other than officially: {root} lists {what}, the official lists {n}." for what, n in numbers]
    assert counts["other_than_officially"] == [f"{what} (officially {n})" for what, n in numbers]
    for line in ("| listed officially | **≠ 5** |", "| classes officially | **≠ 3** |"):
        assert line in page, line
    assert "| 2 | train | 2 | 2 | 2 |" in page and "| 2 | test | **≠ 3** | 2 | 2 |" in page
    assert f"**Other than officially listed:** {'; '.join(counts['other_than_officially'])}.\n" in page


def test_the_embedded_set_is_not_held_against_the_data_sets_that_it_stands_in_for(motion_root, tmp_path):
    for layout in ("ucf101", "hmdb51", "kinetics400"):
        assert counts_to_meet(layout, motion_root / layout) is None
        assert counts_to_meet(layout, tmp_path) == official_counts(layout)
        found = differences(read_listing(layout, motion_root / layout), official_counts(layout))
        assert {"classes", "videos", "test videos of split 1"} < {one.what for one in found}
        named = [one.what for one in found if one.what.startswith("classes with other than 70")]
        assert len(named) == (3 if layout == "hmdb51" else 0)
        assert all(what.count(",") == 3 and what.endswith(", …)") for what in named)
    assert counts_to_meet("unlabelled", tmp_path) is None


def test_one_line_less_in_one_list_of_ucf101_is_found(annotations, tmp_path):
    shutil.copytree(annotations / "ucf101", tmp_path / "annotations", copy_function=shutil.copyfile)
    assert differences(read_listing("ucf101", tmp_path), official_counts("ucf101")) == []
    path = tmp_path / "annotations/testlist02.txt"
    path.write_text(path.read_text().partition("\n")[2])
    listing = read_listing("ucf101", tmp_path)
    assert differences(listing, official_counts("ucf101")) == [("test videos of split 2", 3733, 3734)]


def test_a_video_moved_between_classes_of_hmdb51_is_found(annotations, tmp_path):
    shutil.copytree(annotations / "hmdb51", tmp_path, dirs_exist_ok=True, copy_function=shutil.copyfile)
    assert differences(read_listing("hmdb51", tmp_path), official_counts("hmdb51")) == []
    for name, (before, after) in {"wave": (" 1", " 0"), "jump": (" 0", " 1")}.items():
        path = tmp_path / f"testTrainMulti_7030_splits/{name}_test_split1.txt"
        lines = path.read_text().splitlines()
        at = next(at for at, line in enumerate(lines) if line.rstrip().endswith(before))
        lines[at] = lines[at].rstrip().removesuffix(before) + after
        path.write_text("\n".join(lines))
    what = "classes with other than 70 training videos in split 1 (jump 71, wave 69)"
    assert differences(read_listing("hmdb51", tmp_path), official_counts("hmdb51")) == [(what, 2, 0)]
