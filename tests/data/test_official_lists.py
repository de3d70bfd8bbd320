"""The published counts, from the published lists (in the folder named by DYNAMONET_ANNOTATIONS)."""

from collections import Counter

from dynamonet.data.listing import official_counts, read_listing


def counts(listing):
    """What `official_counts` says of a whole copy, counted."""
    of = {split: Counter(video.parts.get(split) for video in listing.videos) for split in listing.splits}
    splits = {str(split): {part: parts[part] for part in ("train", "test")} for split, parts in of.items()}
    return {"classes": len(listing.classes), "listed": len(listing.videos), "splits": splits}


def published(layout):
    return {name: official_counts(layout)[name] for name in ("classes", "listed", "splits")}


def test_ucf101(annotations, tmp_path):
    (tmp_path / "ucfTrainTestlist").symlink_to(annotations / "ucf101")
    listing = read_listing("ucf101", tmp_path)
    assert listing.classes[0] == "ApplyEyeMakeup" and listing.classes[-1] == "YoYo"
    assert counts(listing) == published("ucf101")
    assert [tuple(parts.values()) for parts in counts(listing)["splits"].values()] == [
        (9537, 3783),
        (9586, 3734),
        (9624, 3696),
    ]
    # The class folder and the file names spell this class differently.
    assert "UCF-101/HandstandPushups/v_HandStandPushups_g01_c01.avi" in {video.path for video in listing.videos}


def test_ucf101_groups_do_not_leak(annotations, tmp_path):
    (tmp_path / "ucfTrainTestlist").symlink_to(annotations / "ucf101")
    assert not leaking_groups(read_listing("ucf101", tmp_path))


def test_embedded_ucf101_groups_do_not_leak(motion_root):
    assert not leaking_groups(read_listing("ucf101", motion_root / "ucf101"))


def test_ucf101_groups(annotations, tmp_path):
    (tmp_path / "ucfTrainTestlist").symlink_to(annotations / "ucf101")
    groups = Counter(video.group for video in read_listing("ucf101", tmp_path).videos)
    # 25 groups of 4 to 7 clips in each class (Soomro et al. 2012, section 2).
    assert len(groups) == 101 * 25 and groups["HandstandPushups_g25"] == 7
    assert (min(groups.values()), max(groups.values())) == (4, 7)


def test_ucf101_files_in_another_spelling(annotations, tmp_path):
    (tmp_path / "annotations").symlink_to(annotations / "ucf101")
    official = read_listing("ucf101", tmp_path)
    for video in official.videos:
        if video.class_name == "HandstandPushups":
            path = tmp_path / video.path.replace("UCF-101/HandstandPushups/", "HandStandPushups/")
            path.parent.mkdir(exist_ok=True)
            path.touch()
    (tmp_path / "YoYo").mkdir()
    listing = read_listing("ucf101", tmp_path)
    assert counts(listing) == counts(official) and listing.classes == official.classes
    assert [video.id for video in listing.videos] == [video.id for video in official.videos]
    on_disk = {video.path for video in listing.videos if (tmp_path / video.path).is_file()}
    assert len(on_disk) == 128 and all(path.startswith("HandStandPushups/v_HandStand") for path in on_disk)


def leaking_groups(listing):
    """(split, group) that are in both parts of the split."""
    parts = {
        part: {(split, video.group) for video in listing.videos for split, name in video.parts.items() if name == part}
        for part in ("train", "test")
    }
    assert parts["train"] and parts["test"]
    return parts["train"] & parts["test"]


def test_hmdb51(annotations, tmp_path):
    (tmp_path / "testTrainMulti_7030_splits").symlink_to(annotations / "hmdb51/testTrainMulti_7030_splits")
    listing = read_listing("hmdb51", tmp_path)
    assert counts(listing) == published("hmdb51")
    for split in (1, 2, 3):
        per_class = Counter((video.class_name, video.parts.get(split)) for video in listing.videos)
        each = {part: {per_class[name, part] for name in listing.classes} for part in ("train", "test")}
        assert each == {part: {number} for part, number in official_counts("hmdb51")["per_class"].items()}
        assert each == {"train": {70}, "test": {30}}


def test_kinetics400_validation(annotations, tmp_path):
    folder = tmp_path / "annotations"
    folder.mkdir()
    (folder / "kinetics-400_val.csv").symlink_to(annotations / "kinetics400/kinetics-400_val.csv")
    labels = (annotations / "kinetics400/label_map.txt").read_text().splitlines()
    listing = read_listing("kinetics400", tmp_path)
    assert list(listing.classes) == labels and len(labels) == published("kinetics400")["classes"]
    assert counts(listing)["splits"] == {"1": {"train": 0, "test": 19906}}
    assert published("kinetics400")["splits"]["1"]["test"] == 19906
    (folder / "train.csv").write_text("label,youtube_id,time_start,time_end,split\nabseiling,x,1,11,train\n")
    assert read_listing("kinetics400", tmp_path).classes == listing.classes
    assert counts(read_listing("kinetics400", tmp_path))["listed"] == 19907
