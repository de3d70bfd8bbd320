"""The published counts, from the published lists (in the folder named by DYNAMONET_ANNOTATIONS)."""

from collections import Counter

from dynamonet.data.listing import read_listing


def counts(listing, split):
    return Counter(video.parts.get(split) for video in listing.videos)


def test_ucf101(annotations, tmp_path):
    (tmp_path / "ucfTrainTestlist").symlink_to(annotations / "ucf101")
    listing = read_listing("ucf101", tmp_path)
    assert len(listing.classes) == 101 and len(listing.videos) == 13320
    assert listing.classes[0] == "ApplyEyeMakeup" and listing.classes[-1] == "YoYo"
    published = {1: (9537, 3783), 2: (9586, 3734), 3: (9624, 3696)}
    assert {
        split: (counts(listing, split)["train"], counts(listing, split)["test"]) for split in (1, 2, 3)
    } == published
    # The class folder and the file names spell this class differently.
    assert "UCF-101/HandstandPushups/v_HandStandPushups_g01_c01.avi" in {video.path for video in listing.videos}


def test_ucf101_groups_do_not_leak(annotations, tmp_path):
    (tmp_path / "ucfTrainTestlist").symlink_to(annotations / "ucf101")
    assert not leaking_groups(read_listing("ucf101", tmp_path))


def test_embedded_ucf101_groups_do_not_leak(motion_root):
    assert not leaking_groups(read_listing("ucf101", motion_root / "ucf101"))


def leaking_groups(listing):
    """(split, class, group) that are in both parts of the split."""
    parts = {
        part: {
            (split, video.class_name, video.id.split("_")[-2])
            for video in listing.videos
            for split, name in video.parts.items()
            if name == part
        }
        for part in ("train", "test")
    }
    assert parts["train"] and parts["test"]
    return parts["train"] & parts["test"]


def test_hmdb51(annotations, tmp_path):
    (tmp_path / "testTrainMulti_7030_splits").symlink_to(annotations / "hmdb51/testTrainMulti_7030_splits")
    listing = read_listing("hmdb51", tmp_path)
    assert len(listing.classes) == 51 and len(listing.videos) == 6766
    for split in (1, 2, 3):
        per_class = Counter((video.class_name, video.parts.get(split)) for video in listing.videos)
        assert all(per_class[name, "train"] == 70 and per_class[name, "test"] == 30 for name in listing.classes)


def test_kinetics400(annotations, tmp_path):
    folder = tmp_path / "annotations"
    folder.mkdir()
    (folder / "validate.csv").symlink_to(annotations / "kinetics400/kinetics-400_val.csv")
    (folder / "train.csv").write_text("label,youtube_id,time_start,time_end,split\nabseiling,x,1,11,train\n")
    listing = read_listing("kinetics400", tmp_path)
    assert len(listing.classes) == 400
    assert counts(listing, 1) == {"train": 1, "test": 19906}
    assert list(listing.classes) == (annotations / "kinetics400/label_map.txt").read_text().splitlines()
