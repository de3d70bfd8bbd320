import shutil
from collections import Counter

import pytest

from dynamonet.data import motion_layouts
from dynamonet.data.check import check_video
from dynamonet.data.listing import read_listing
from dynamonet.data.manifest import Manifest
from dynamonet.data.motion import CLASSES
from dynamonet.data.motion_layouts import generate, plan
from dynamonet.data.preparation import prepare
from dynamonet.errors import UserError

LAYOUTS = {"kinetics400": "kinetics400", "ucf101": "ucf101", "hmdb51": "hmdb51", "unlabelled": "pool"}


def contents(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_prepares(layout, motion_root, tmp_path):
    said, root = [], motion_root / LAYOUTS[layout]
    counts = prepare(layout, root, tmp_path / "m.parquet", checked=tmp_path / "checked", announce=said.append)
    assert counts["listed"] == counts["decodable"] > 0
    assert counts["official"] is None and said == []
    assert set(Manifest.load(tmp_path / "m.parquet").rows["frames"]) == {12}


def test_counts(motion_root, small_motion_config):
    kinetics = read_listing("kinetics400", motion_root / "kinetics400")
    assert kinetics.classes == tuple(sorted(CLASSES))
    assert Counter(video.parts[1] for video in kinetics.videos) == {"train": 36, "test": 24}
    ucf = read_listing("ucf101", motion_root / "ucf101")
    assert ucf.classes[0] == "MovingLeft" and len(ucf.videos) == 12 * 4 * 2
    assert Counter(video.parts[2] for video in ucf.videos) == {"train": 72, "test": 24}
    hmdb = read_listing("hmdb51", motion_root / "hmdb51")
    for split in (1, 2, 3):
        assert Counter(video.parts.get(split) for video in hmdb.videos) == {"train": 30, "test": 20, None: 10}
    assert len({tuple(video.id for video in hmdb.videos if video.parts.get(s) == "test") for s in (1, 2, 3)}) == 3


def test_the_same_config_gives_the_same_bytes(motion_root, small_motion_config, tmp_path):
    generate(small_motion_config, tmp_path / "again", workers=2)
    assert contents(tmp_path / "again") == contents(motion_root)


def test_an_interrupted_set_is_completed(motion_root, small_motion_config, tmp_path, monkeypatch):
    root = tmp_path / "set"

    def stop(done, total):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(small_motion_config, root, progress=stop)
    assert not (root / "complete.json").exists()
    clips, _ = plan(small_motion_config)
    for clip in clips[5:]:  # the rest need not be rendered again to see that generate goes on
        (root / clip.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(motion_root / clip.path, root / clip.path)
    (root / clips[2].path).unlink()
    totals = []  # of videos still missing
    generate(small_motion_config, root, progress=lambda done, total: totals.append(total))
    assert totals == [1]
    assert contents(root) == contents(motion_root)


def test_a_finished_set_is_left_alone(motion_root, small_motion_config, monkeypatch):
    monkeypatch.setattr(motion_layouts, "plan", None)
    generate(small_motion_config, motion_root)


def test_another_set_or_other_files_are_refused(motion_root, small_motion_config, tmp_path):
    with pytest.raises(UserError, match="is another motion set"):
        generate(small_motion_config.model_copy(update=dict(seed=1)), motion_root)
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(UserError, match="holds other files"):
        generate(small_motion_config, tmp_path)


def test_clips_of_an_ucf_group_share_their_appearance(small_motion_config):
    clips = [clip for clip in plan(small_motion_config)[0] if clip.path.startswith("ucf101")]
    groups = Counter(clip.appearance for clip in clips)
    assert set(groups.values()) == {2} and len({clip.movement for clip in clips}) == len(clips)


def test_files_say_nothing_of_when_and_where_they_were_made(motion_root):
    for name, content in contents(motion_root).items():
        assert not any(word in content for word in (b"Lavf", b"Lavc", b"creation_time")), name


def test_containers(motion_root):
    for path in motion_root.rglob("*.avi"):
        assert (b"XVID" if "ucf101" in path.parts else b"DX50") in path.read_bytes()[:512]
    assert check_video(next(motion_root.rglob("*.mp4"))).fps == 25
