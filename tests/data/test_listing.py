import subprocess
import sys

import pytest

from dynamonet.data.listing import layout_names, read_listing
from dynamonet.errors import UserError


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return root


def error(layout, root):
    with pytest.raises(UserError) as caught:
        read_listing(layout, root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


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


KINETICS_HEADER = "label,youtube_id,time_start,time_end,split,is_cc\n"


def kinetics(root, train, val):
    names = {"annotations/train.csv": train, "annotations/validate.csv": val}
    return write(root, {name: KINETICS_HEADER + text for name, text in names.items()})


def test_kinetics(tmp_path):
    kinetics(tmp_path, "air drumming,-_a,7,17,train,0\n", '"air drumming",b,100,110,val,1\n')
    first, second = read_listing("kinetics400", tmp_path).videos
    assert first.path == "train/air drumming/-_a_000007_000017.mp4" and first.parts == {1: "train"}
    assert second.path == "val/air drumming/b_000100_000110.mp4" and second.parts == {1: "test"}


def test_bad_kinetics_lists(tmp_path):
    kinetics(tmp_path, "wave,a,7,17,train,0\n", "wave,b,seven,17,val,0\n")
    assert "validate.csv:2: the line is malformed" in error("kinetics400", tmp_path)
    kinetics(tmp_path, "wave,a,7,17,train,0\n", "../../wave,b,7,17,val,0\n")
    assert "holds a slash" in error("kinetics400", tmp_path)
    write(tmp_path, {"annotations/train.csv": "youtube_id,time_start\n"})
    assert "column 'label' is missing" in error("kinetics400", tmp_path)
    (tmp_path / "annotations/train.csv").unlink()
    assert "train.csv is missing" in error("kinetics400", tmp_path)


def test_bad_hmdb_lists(tmp_path):
    assert "holds no <class>_test_split1.txt" in error("hmdb51", tmp_path)
    lists = {f"testTrainMulti_7030_splits/wave_test_split{n}.txt": "a.avi 1 \nb.avi 2 \n" for n in (1, 2, 3)}
    assert len(read_listing("hmdb51", write(tmp_path, lists)).videos) == 2
    write(tmp_path, {"testTrainMulti_7030_splits/wave_test_split2.txt": "a.avi 1\nb.avi 3\n"})
    assert "wave_test_split2.txt:2: line 'b.avi 3' is malformed" in error("hmdb51", tmp_path)
    (tmp_path / "testTrainMulti_7030_splits/wave_test_split2.txt").unlink()
    assert "wave_test_split2.txt is missing" in error("hmdb51", tmp_path)
