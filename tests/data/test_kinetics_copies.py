"""Kinetics-400 as its owners list it, and as copies of it lie."""

import pytest
from listed_roots import error, write

from dynamonet.data.listing import read_listing

HEADER = "label,youtube_id,time_start,time_end,split,is_cc\n"
TRAIN = "air drumming,-_a,7,17,train,0\nair drumming,gone,1,11,train,0\n"
VALIDATION = '"air drumming",b,100,110,val,1\n'
A, GONE, B = "-_a_000007_000017", "gone_000001_000011", "b_000100_000110"


def kinetics(root, train=TRAIN, validation=VALIDATION, names=("annotations/train.csv", "annotations/validate.csv")):
    texts = zip(names, (train, validation), strict=True)
    return write(root, {name: HEADER + text for name, text in texts if text is not None})


def test_listing(tmp_path):
    listing = read_listing("kinetics400", kinetics(tmp_path))
    assert listing.classes == ("air drumming",) and listing.splits == (1,)
    assert [(video.id, video.path, video.parts, video.group) for video in listing.videos] == [
        (f"air drumming/{A}", f"train/air drumming/{A}.mp4", {1: "train"}, None),
        (f"air drumming/{GONE}", f"train/air drumming/{GONE}.mp4", {1: "train"}, None),
        (f"air drumming/{B}", f"val/air drumming/{B}.mp4", {1: "test"}, None),
    ]


@pytest.mark.parametrize(
    "names",
    [
        ("annotations/train.csv", "annotations/val.csv"),  # CVDF, torchvision
        ("train.csv", "val.csv"),
        ("kinetics400/train.csv", "kinetics400/validate.csv"),  # the owners' archive
        ("annotations/kinetics_train.csv", "annotations/kinetics_val.csv"),  # mmaction2
        ("annotations/kinetics-400_train.csv", "annotations/kinetics-400_val.csv"),  # ActivityNet's crawler
        ("kinetics_400_train.csv", "kinetics_400_val.csv"),
        ("annotations/kinetics400_train.csv", "kinetics400_validation.csv"),
    ],
)
def test_names_of_the_lists(tmp_path, names):
    validation = VALIDATION.replace("val", "validate")
    assert len(read_listing("kinetics400", kinetics(tmp_path, TRAIN, validation, names)).videos) == 3


@pytest.mark.parametrize(
    ("files", "missing"),
    [
        ([f"train/air drumming/{A}.mkv", f"val/air drumming/{B}.MP4"], f"train/air drumming/{GONE}.mp4"),
        ([f"train/air_drumming/{A}.mp4", f"val/air_drumming/{B}.webm"], f"train/air_drumming/{GONE}.mp4"),
        ([f"train/{A}.mp4", f"val/{B}.mp4"], f"train/{GONE}.mp4"),  # CVDF
        ([f"videos_train/air/{A}.mp4", f"videos_val/air/{B}.mp4"], f"videos_train/air/{GONE}.mp4"),
        (["videos_train/-_a.mp4", "videos_val/b.mp4"], f"videos_train/{GONE}.mp4"),
        ([f"train_256/air_drumming/{A}.mp4", f"val_256/air_drumming/{B}.mp4"], f"train_256/air_drumming/{GONE}.mp4"),
    ],
)
def test_files_are_found_where_they_are(tmp_path, files, missing):
    others = [f"{files[0]}.part", f"{files[0].rpartition('/')[0]}/other_000001_000011.mp4", "test/gone.mp4"]
    videos = read_listing("kinetics400", write(kinetics(tmp_path), files + others)).videos
    assert [video.path for video in videos] == [files[0], missing, files[1]]
    assert [video.id for video in videos] == [f"air drumming/{name}" for name in (A, GONE, B)]


def test_replacements_are_preferred(tmp_path):
    folder = "replacement/replacement_for_corrupted_k400"
    write(kinetics(tmp_path), [f"train/air drumming/{A}.mp4", f"val/{B}.mp4", f"{folder}/{A}.mp4"])
    missing = f"train/air drumming/{GONE}.mp4"
    videos = read_listing("kinetics400", tmp_path).videos
    assert [video.path for video in videos] == [f"{folder}/{A}.mp4", missing, f"val/{B}.mp4"]


def test_without_a_training_list_it_is_for_evaluation(tmp_path):
    listing = read_listing("kinetics400", write(kinetics(tmp_path, train=None), [f"val/{B}.mp4"]))
    assert [(video.path, video.parts) for video in listing.videos] == [(f"val/{B}.mp4", {1: "test"})]
    assert listing.splits == (1,) and listing.classes == ("air drumming",)
    write(tmp_path, [f"train/{A}.mp4"])
    assert "holds train, but no list train.csv (or kinetics-400_train.csv) in annotations" in error(
        "kinetics400", tmp_path
    )


@pytest.mark.parametrize(
    ("train", "validation", "message"),
    [
        (TRAIN, None, "holds no list validate.csv, val.csv, validation.csv"),
        (TRAIN, "wave,b,seven,17,val,0\n", "validate.csv:2: the line is malformed"),
        (TRAIN, "wave,b\n", "validate.csv:2: the line is malformed"),
        (TRAIN, "../../wave,b,7,17,val,0\n", "validate.csv:2: '../../wave' or 'b' holds a slash"),
        (TRAIN, TRAIN, "validate.csv:2: split is 'train', not 'validate'"),
        (VALIDATION, VALIDATION, "train.csv:2: split is 'val', not 'train'"),
        (TRAIN, "air drumming,-_a,7,17,val,0\n", "both the training and the test part of split 1"),
    ],
)
def test_bad_lists(tmp_path, train, validation, message):
    assert message in error("kinetics400", kinetics(tmp_path, train, validation))


def test_lists_that_are_no_lists(tmp_path):
    write(kinetics(tmp_path), {"annotations/train.csv": "youtube_id,time_start\n"})
    assert "train.csv:1: column 'label' is missing" in error("kinetics400", tmp_path)
    (tmp_path / "annotations/train.csv").write_bytes(b"\xff\xfe\x00")
    assert "train.csv is not a CSV file in UTF-8" in error("kinetics400", tmp_path)
    (tmp_path / "annotations/train.csv").unlink()
    (tmp_path / "annotations/train.csv").mkdir()
    assert "train.csv is unreadable" in error("kinetics400", tmp_path)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["annotations/val.csv"], "holds both validate.csv and val.csv; keep one"),
        (["train/x.mp4", "train_256/x.mp4"], "holds both train and train_256; keep one"),
        ([f"train/{A}.mp4", f"train/b/{A}.mp4"], f"holds both train/{A}.mp4 and train/b/{A}.mp4; keep one"),
        ([f"val/{B}.mkv", f"val/{B}.mp4"], f"holds both val/{B}.mkv and val/{B}.mp4; keep one"),
        (["val"], "val cannot be read"),
    ],
)
def test_ambiguous_copies(tmp_path, files, message):
    assert message in error("kinetics400", write(kinetics(tmp_path), files))
