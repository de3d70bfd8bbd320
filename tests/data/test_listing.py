import json
import os
import subprocess
import sys

import pytest
from listed_roots import error, write

from dynamonet.data.listing import fingerprint, layout_names, official_counts, read_listing
from dynamonet.errors import UserError

CLIPS = {
    "classInd.txt": "1 wave\r\n2 jump high\r\n",
    "trainlist01.txt": "wave/a (1)!.mp4 1\r\njump high/b+c.mkv 2 \r\n",
    "testlist01.txt": "wave/d.avi\r\n\r\njump high/e f.avi \r\n",
}


def test_layouts_are_found_by_their_files():
    assert layout_names() == ("folder", "hmdb51", "kinetics400", "ucf101", "unlabelled")


def test_listing_is_light_to_import():
    code = "import sys, dynamonet.data.manifest; print({'torch', 'av'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


def test_folder(tmp_path):
    listing = read_listing("folder", write(tmp_path, CLIPS))
    assert listing.classes == ("wave", "jump high")
    assert listing.splits == (1,)
    assert [(video.id, video.path, video.class_name, video.parts) for video in listing.videos] == [
        ("wave/a (1)!", "wave/a (1)!.mp4", "wave", {1: "train"}),
        ("jump high/b+c", "jump high/b+c.mkv", "jump high", {1: "train"}),
        ("wave/d", "wave/d.avi", "wave", {1: "test"}),
        ("jump high/e f", "jump high/e f.avi", "jump high", {1: "test"}),
    ]


def test_folder_with_half_of_a_second_split(tmp_path):
    write(tmp_path, CLIPS | {"trainlist02.txt": "wave/d.avi 1\n"})
    assert "testlist02.txt is missing" in error("folder", tmp_path)


@pytest.mark.parametrize(
    ("changed", "text", "message"),
    [
        ("classInd.txt", "1 wave\n3 jump high\n", "classInd.txt:2: line '3 jump high' is malformed"),
        ("classInd.txt", "1 wave\n2 wave\n", "classInd.txt:2: class 'wave' is listed twice"),
        ("classInd.txt", "1 wave\n2 jump high\n3 run\n", "Class 'run' has no listed video"),
        ("trainlist01.txt", "wave/a.mp4 1\njump high/b.mkv\n", "trainlist01.txt:2: line 'jump high/b.mkv'"),
        ("trainlist01.txt", "wave/a.mp4 2\n", "wave/a.mp4 has number 2, but classInd.txt says 1"),
        ("trainlist01.txt", "run/a.mp4 1\n", "class 'run' is not in classInd.txt"),
        ("trainlist01.txt", "wave/d.avi 1\n", "both the training and the test part of split 1"),
        ("testlist01.txt", "../elsewhere.avi\n", "leaves the data set's root"),
        ("testlist01.txt", "wave/../../elsewhere.avi\n", "leaves the data set's root"),
        ("testlist01.txt", "/etc/passwd\n", "leaves the data set's root"),
        ("testlist01.txt", "wave/a (1)!.avi\n", "both the training and the test part"),
        ("testlist01.txt", "\n", "Class"),
    ],
)
def test_bad_lists_are_named(tmp_path, changed, text, message):
    files = CLIPS | {changed: text}
    if message == "Class":
        files["trainlist01.txt"] = "wave/a.mp4 1\n"
    assert message in error("folder", write(tmp_path, files))


def test_lists_that_are_not_text(tmp_path):
    write(tmp_path, CLIPS)
    (tmp_path / "classInd.txt").write_bytes(b"\xff\xfe\x00")
    assert "classInd.txt is not UTF-8" in error("folder", tmp_path)


def test_unknown_layout_and_missing_root(tmp_path):
    assert "use one of folder, hmdb51" in error("sports1m", tmp_path)
    assert "nowhere is not a folder" in error("folder", tmp_path / "nowhere")


def test_unlabelled(tmp_path):
    write(tmp_path, {f"{n % 3}/clip {n}.MP4": "" for n in range(200)} | {"notes.txt": "", ".half.mp4": ""})
    listing = read_listing("unlabelled", tmp_path)
    assert len(listing.videos) == 200 and listing.classes == ()
    assert [video.path for video in listing.videos] == sorted(video.path for video in listing.videos)
    assert 10 <= sum(video.parts[1] == "test" for video in listing.videos) <= 30


def test_unlabelled_without_videos(tmp_path):
    assert "holds no video file" in error("unlabelled", tmp_path)


def test_unlabelled_list(tmp_path):
    write(tmp_path, {"a/1.mp4": "", "a/2.mp4": "", "3.mp4": "", "list.txt": "a/2.mp4\r\n\r\n./a/gone.mp4\r\n"})
    everything = {"a/1.mp4", "a/2.mp4", "3.mp4"}
    listing = read_listing("unlabelled", tmp_path)
    assert [video.path for video in listing.videos] == ["a/2.mp4", "a/gone.mp4"]
    (tmp_path / "list.txt").unlink()
    found = read_listing("unlabelled", tmp_path).videos
    assert {video.path for video in found} == everything
    # A list limits a pool: it moves no video from one part to the other.
    assert listing.videos[0] in found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.mp4\n./a.mp4\n", "list.txt:2: ./a.mp4 is listed twice"),
        ("a.mp4\n../b.mp4\n", "list.txt:2: '../b.mp4' leaves the data set's root"),
        ("\n", "list.txt lists no video"),
    ],
)
def test_bad_unlabelled_lists(tmp_path, text, message):
    assert message in error("unlabelled", write(tmp_path, {"a.mp4": "", "list.txt": text}))


def test_unlabelled_links_are_followed_once(tmp_path):
    write(tmp_path, ["disk/b/1.mp4", "root/a/2.mp4", "root/.cache/3.mp4"])
    (tmp_path / "root/b").symlink_to(tmp_path / "disk/b")
    (tmp_path / "root/a/up").symlink_to(tmp_path / "root")
    paths = [video.path for video in read_listing("unlabelled", tmp_path / "root").videos]
    assert paths == ["a/2.mp4", "b/1.mp4"]


def test_groups(tmp_path):
    lists = {
        "classInd.txt": "1 wave\n",
        "trainlist01.txt": "wave/v_Wave_g01_c01.avi 1\nwave/v_Wave_g01_c02.mp4 1\n",
        "testlist01.txt": "wave/v_wave_hello_g02_c01.avi\nwave/g03_c01.avi\nwave/v_wave_g04.avi\n",
    }
    videos = read_listing("folder", write(tmp_path, lists)).videos
    assert [video.group for video in videos] == ["wave_g01", "wave_g01", "wave_g02", None, None]


def test_names_hold_what_some_take_for_a_line_end(tmp_path):
    names = ["a\u2028b.avi", "a\x0bb.avi", "a\x85b.avi"]
    lists = {
        "classInd.txt": "1 wave\n",
        "trainlist01.txt": "".join(f"wave/{name} 1\n" for name in names),
        "testlist01.txt": "wave/c.avi\n",
    }
    videos = read_listing("folder", write(tmp_path, lists)).videos
    assert [video.path for video in videos] == [*(f"wave/{name}" for name in names), "wave/c.avi"]


KINETICS = "label,youtube_id,time_start,time_end,split\ncaf,b,100,110,val\n"
HMDB51 = {f"splits/wave_test_split{split}.txt": "a.avi 1\nb.avi 2\n" for split in (1, 2, 3)}


CAFE = os.fsdecode(b"caf\xe9")


@pytest.mark.parametrize(
    ("layout", "files", "shown"),
    [
        ("unlabelled", {f"{CAFE}.avi": ""}, r"caf\xe9.avi"),
        ("unlabelled", {f"{CAFE}/a.avi": ""}, r"caf\xe9/a.avi"),
        (
            "kinetics400",
            {"val.csv": KINETICS, f"val/{CAFE}/b_000100_000110.mp4": ""},
            r"val/caf\xe9/b_000100_000110.mp4",
        ),
        ("hmdb51", {name.replace("wave", CAFE): text for name, text in HMDB51.items()}, r"hmdb51_org/caf\xe9/a.avi"),
    ],
)
def test_a_name_that_is_not_utf8_is_refused(tmp_path, layout, files, shown):
    assert error(layout, write(tmp_path, files)) == f"{tmp_path} holds {shown}, a name that is not UTF-8; rename it."
    assert len(fingerprint(layout, tmp_path)) == 64


def test_names_that_are_no_videos_may_be_anything(tmp_path):
    write(tmp_path, ["a.avi", f"{CAFE}/notes.txt", f"{CAFE}.txt"])
    assert [video.path for video in read_listing("unlabelled", tmp_path).videos] == ["a.avi"]


@pytest.mark.parametrize(
    ("layout", "lists", "message"),
    [
        (
            "folder",
            CLIPS | {"testlist01.txt": "wave/d.avi\nwave/a\0.avi\n"},
            r"testlist01.txt:2: line 'wave/a\x00.avi'",
        ),
        ("folder", CLIPS | {"classInd.txt": "1 wa\0ve\n"}, r"classInd.txt:1: line '1 wa\x00ve'"),
        (
            "hmdb51",
            HMDB51 | {"splits/wave_test_split2.txt": "a\0.avi 1\n"},
            r"wave_test_split2.txt:1: line 'a\x00.avi 1'",
        ),
        ("unlabelled", {"list.txt": "a.avi\nb\0.avi\n"}, r"list.txt:2: line 'b\x00.avi'"),
        ("kinetics400", {"val.csv": KINETICS.replace(",b,", ",b\0,")}, r"val.csv:2: 'caf' or 'b\x00'"),
    ],
)
def test_a_nul_in_a_list_is_named_with_its_line(tmp_path, layout, lists, message):
    assert message in error(layout, write(tmp_path, lists))
    assert len(fingerprint(layout, tmp_path)) == 64


@pytest.mark.parametrize("layout", layout_names())
def test_official_counts_are_plain_data(layout):
    counts = official_counts(layout)
    if layout in ("folder", "unlabelled"):
        assert counts is None
    else:
        assert json.loads(json.dumps(counts)) == counts
        assert set(counts) - {"per_class"} == {"classes", "listed", "splits", "source"}
        assert all(set(parts) == {"train", "test"} for parts in counts["splits"].values())


def test_official_counts_of_an_unknown_layout():
    with pytest.raises(UserError, match="Layout 'sports1m' is unknown"):
        official_counts("sports1m")
