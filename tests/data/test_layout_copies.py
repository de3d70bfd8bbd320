"""The benchmarks as their archives unpack and as others have rearranged them: the same videos, found where they are."""

import pytest
from listed_roots import error, write

from dynamonet.data.listing import read_listing

UCF101 = {
    "classInd.txt": "1 HandstandPushups\r\n2 YoYo\r\n",
    "trainlist01.txt": "HandstandPushups/v_HandStandPushups_g01_c01.avi 1\r\nYoYo/v_YoYo_g01_c01.avi 2\r\n",
    "testlist01.txt": "HandstandPushups/v_HandStandPushups_g02_c01.avi\r\nYoYo/v_YoYo_g02_c01.avi\r\n",
}
UCF101 |= {name.replace("01", split): text for name, text in UCF101.items() for split in ("02", "03")}
HANDSTANDS = ("HandstandPushups/v_HandStandPushups_g01_c01.avi", "HandstandPushups/v_HandStandPushups_g02_c01.avi")


def ucf101(root, lists, videos):
    write(root, {f"{lists}/{name}": text for name, text in UCF101.items()})
    return write(root, videos)


def paths(layout, root):
    return {video.id: video.path for video in read_listing(layout, root).videos}


@pytest.mark.parametrize(
    ("lists", "folder"),
    [
        ("ucfTrainTestlist", "UCF-101/"),
        ("UCF101TrainTestSplits-RecognitionTask/ucfTrainTestlist", ""),
        ("TrainTestSplits-RecognitionTask/ucfTrainTestlist", "UCF-101/"),
        ("annotations", "videos/"),
    ],
)
def test_ucf101(tmp_path, lists, folder):
    found = paths("ucf101", ucf101(tmp_path, lists, [f"{folder}YoYo/v_YoYo_g01_c01.avi"]))
    assert found["YoYo/v_YoYo_g01_c01"] == f"{folder}YoYo/v_YoYo_g01_c01.avi"
    assert found["HandstandPushups/v_HandStandPushups_g02_c01"] == folder + HANDSTANDS[1]  # missing: where it belongs


@pytest.mark.parametrize("folder", ["HandstandPushups", "HandStandPushups"])
@pytest.mark.parametrize("name", ["v_HandstandPushups", "v_HandStandPushups"])
def test_ucf101_spells_one_class_in_two_ways(tmp_path, folder, name):
    files = [f"UCF-101/{folder}/{name}_g{group}_c01.avi" for group in ("01", "02")]
    root = ucf101(tmp_path, "ucfTrainTestlist", files)
    listing = read_listing("ucf101", root)
    for spelled in ("HandstandPushups/v_HandstandPushups", "HandStandPushups/v_HandStandPushups"):
        changed = {
            f"{list_}": text.replace("HandstandPushups/v_HandStandPushups", spelled) for list_, text in UCF101.items()
        }
        write(root / "ucfTrainTestlist", changed)
        assert read_listing("ucf101", root) == listing
    write(root / "ucfTrainTestlist", {"classInd.txt": "1 HandStandPushups\n2 YoYo\n"})
    assert read_listing("ucf101", root) == listing
    assert listing.classes == ("HandstandPushups", "YoYo")
    handstands = [video for video in listing.videos if video.class_name == "HandstandPushups"]
    assert [video.path for video in handstands] == files
    assert [video.id for video in handstands] == [file.removesuffix(".avi") for file in HANDSTANDS]
    assert [video.group for video in handstands] == ["HandstandPushups_g01", "HandstandPushups_g02"]


def test_ucf101_says_what_it_looked_for(tmp_path):
    assert "holds none of ucfTrainTestlist, " in error("ucf101", tmp_path)
    ucf101(tmp_path, "ucfTrainTestlist", ["UCF-101/YoYo/v_YoYo_g01_c01.avi", "videos/YoYo/v_YoYo_g01_c01.avi"])
    assert "holds both UCF-101 and videos; keep one" in error("ucf101", tmp_path)
    ucf101(tmp_path, "annotations", [])
    assert "holds both ucfTrainTestlist and annotations; keep one" in error("ucf101", tmp_path)


NAMES = ["(HQ)_a+b!!_#1;_wave_0.avi", "with blank [x]_wave_1.avi", "300+_Yards!!!_golf.avi", "ein_Täuschung&_2.avi"]


@pytest.mark.parametrize(
    ("lists", "folder"),
    [("testTrainMulti_7030_splits", "hmdb51_org/"), ("splits", ""), ("annotations", "videos/")],
)
def test_hmdb51(tmp_path, lists, folder):
    lines = "".join(f"{name} {flag} \n" for name, flag in zip(NAMES, "0121", strict=True))
    write(tmp_path, {f"{lists}/wave_test_split{split}.txt": lines for split in (1, 2, 3)})
    write(tmp_path, [f"{folder}wave/{NAMES[0]}"])
    videos = read_listing("hmdb51", tmp_path).videos
    assert [video.path for video in videos] == [f"{folder}wave/{name}" for name in NAMES]
    assert [video.parts.get(2) for video in videos] == [None, "train", "test", "train"]
    assert {video.group for video in videos} == {None}


def test_hmdb51_says_what_it_looked_for(tmp_path):
    message = "<class>_test_split1.txt in testTrainMulti_7030_splits, splits, annotations"
    assert message in error("hmdb51", tmp_path)
    lists = {f"testTrainMulti_7030_splits/wave_test_split{n}.txt": "a.avi 1 \nb.avi 2 \n" for n in (1, 2, 3)}
    assert set(paths("hmdb51", write(tmp_path, lists)).values()) == {"hmdb51_org/wave/a.avi", "hmdb51_org/wave/b.avi"}
    write(tmp_path, {"testTrainMulti_7030_splits/wave_test_split2.txt": "a.avi 1\nb.avi 3\n"})
    assert "wave_test_split2.txt:2: line 'b.avi 3' is malformed" in error("hmdb51", tmp_path)
    (tmp_path / "testTrainMulti_7030_splits/wave_test_split2.txt").unlink()
    assert "wave_test_split2.txt is missing" in error("hmdb51", tmp_path)
