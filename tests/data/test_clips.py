import subprocess
import sys
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader

from dynamonet.data.check import check_video
from dynamonet.data.clips import ClipShape, EvalClips, TrainClips, batches, class_indices
from dynamonet.data.crop import Box, random_square
from dynamonet.data.encoding import encode
from dynamonet.data.video import read_frames
from dynamonet.errors import UserError

FRAMES = 40


@pytest.fixture(scope="module")
def root(tmp_path_factory, barcodes):
    root = tmp_path_factory.mktemp("clips")
    for number in range(4):
        encode(root / f"{number}.mp4", map(barcodes.draw, range(FRAMES)), "h264", 25)
    return root


@pytest.fixture(scope="module")
def rows(root):
    return pd.DataFrame(
        dict(
            id=[f"video {number}" for number in range(4)],
            file=[f"{number}.mp4" for number in range(4)],
            file_bytes=[(root / f"{number}.mp4").stat().st_size for number in range(4)],
            class_index=[0, 1, 2, 3],
            frames=FRAMES,
            width=96,
            height=64,
            first_pts=0,
            pts_step=0,
        )
    )


def one_row(path: Path, **columns) -> pd.DataFrame:
    about = dict(file=path.name, file_bytes=path.stat().st_size, class_index=0, first_pts=0, pts_step=0)
    return pd.DataFrame([about | columns])


def scaled(*scales):
    return partial(random_square, scales=scales)


def test_shapes(rows, root):
    sample = TrainClips(rows, root, ClipShape(8, 2, 32, extra_frames=3), seed=0, box=scaled(1.0, 0.5))[5, 2]
    assert sample["video"].shape == (3, 11, 32, 32) and sample["video"].dtype == torch.uint8
    assert (sample["class_index"], sample["row"]) == (2, 2)
    sample = EvalClips(rows, root, ClipShape(8, 2, 32, extra_frames=3), clips=2, crops=3)[1]
    assert sample["video"].shape == (6, 3, 11, 32, 32) and sample["video"].dtype == torch.uint8
    assert (sample["class_index"], sample["row"]) == (1, 1)


def test_training_clip_is_a_piece_of_the_video(rows, root):
    """Without resizing, every pixel is one of the video's, and the frames are `stride` apart."""
    whole = torch.from_numpy(read_frames(root / "0.mp4", range(FRAMES))).permute(3, 0, 1, 2)
    for epoch in range(5):
        video = TrainClips(rows, root, ClipShape(8, 2, 64), seed=0)[epoch, 0]["video"]
        places = [
            (start, left)
            for start in range(FRAMES - 14)
            for left in range(96 - 64 + 1)
            if torch.equal(video[:, 0], whole[:, start, :, left : left + 64])
        ]
        assert any(torch.equal(video, whole[:, s : s + 15 : 2, :, left : left + 64]) for s, left in places)


def test_samples_depend_on_seed_epoch_and_id_alone(rows, root):
    shape = ClipShape(8, 1, 32)
    clips = TrainClips(rows, root, shape, seed=0, box=scaled(1.0, 0.8), flip=True)
    reordered = TrainClips(rows[::-1], root, shape, seed=0, box=scaled(1.0, 0.8), flip=True)
    for epoch in range(3):
        torch.testing.assert_close(clips[epoch, 0]["video"], reordered[epoch, 3]["video"], rtol=0, atol=0)
    assert not torch.equal(clips[0, 0]["video"], clips[1, 0]["video"])
    other_seed = TrainClips(rows, root, shape, seed=1, box=scaled(1.0, 0.8), flip=True)
    assert not torch.equal(clips[0, 0]["video"], other_seed[0, 0]["video"])


def test_workers_change_nothing(rows, root):
    clips = TrainClips(rows, root, ClipShape(8, 1, 32), seed=0, flip=True)
    plan = list(batches(len(rows), 2, seed=0, start_step=0, steps=4))
    alone = [batch["video"] for batch in DataLoader(clips, batch_sampler=plan)]
    shared = [batch["video"] for batch in DataLoader(clips, batch_sampler=plan, num_workers=2)]
    assert all(torch.equal(a, b) for a, b in zip(alone, shared, strict=True))


def test_decoding_once_or_every_time_is_the_same(rows, root, monkeypatch):
    def samples():
        clips = TrainClips(rows, root, ClipShape(8, 1, 32), seed=0, box=scaled(1.0, 0.7), flip=True)
        return [clips[epoch, row]["video"] for epoch in range(3) for row in range(4)]

    kept = samples()
    monkeypatch.setattr("dynamonet.data.clips.CACHE_BYTES", 0)
    assert all(torch.equal(a, b) for a, b in zip(kept, samples(), strict=True))


def test_flip_mirrors_about_half_of_the_clips(rows, root):
    plain, flipped = (TrainClips(rows, root, ClipShape(4, 1, 64), seed=0, flip=flip) for flip in (False, True))
    mirrored = 0
    for epoch in range(20):
        a, b = plain[epoch, 0]["video"], flipped[epoch, 0]["video"]
        mirrored += torch.equal(a.flip(-1), b)
        assert torch.equal(a, b) or torch.equal(a.flip(-1), b)
    assert 4 <= mirrored <= 16


def test_classes_that_name_a_direction_are_never_flipped(rows, root):
    plain, flipped = (
        TrainClips(rows, root, ClipShape(4, 1, 64), seed=0, flip=flip, never_flipped={1}) for flip in (False, True)
    )
    changed = dict.fromkeys(range(4), 0)
    for epoch in range(20):
        for row in changed:
            changed[row] += not torch.equal(plain[epoch, row]["video"], flipped[epoch, row]["video"])
    assert changed.pop(1) == 0
    assert all(count > 2 for count in changed.values())


def test_classes_are_found_by_name_and_an_unknown_one_is_refused():
    classes = ("pull", "push left", "push right", "wave")
    assert class_indices(("push right", "push left"), classes, "flip_except") == {1, 2}
    assert class_indices((), classes, "flip_except") == frozenset()
    with pytest.raises(
        UserError, match="flip_except: 'push' is none of the data set's 4 classes, such as pull, push left"
    ):
        class_indices(("push left", "push"), classes, "flip_except")


@pytest.mark.parametrize(("short_videos", "expected"), [("loop", [0, 2, 4, 0, 2]), ("pad", [0, 2, 4, 5, 5])])
def test_the_clip_of_a_short_video_is_looped_or_padded(root, short_videos, expected):
    rows = one_row(root / "0.mp4", id="short", frames=6, width=96, height=64)
    frames = EvalClips(rows, root, ClipShape(6, 1, 64), 1, 1)[0]["video"][0]
    shape = ClipShape(4, 2, 64, extra_frames=1, short_videos=short_videos)
    assert torch.equal(EvalClips(rows, root, shape, 1, 1)[0]["video"][0], frames[:, expected])
    training = TrainClips(rows, root, shape, seed=0, box=lambda height, width, rng: Box(0, 16, 64, 64))
    assert torch.equal(training[0, 0]["video"], frames[:, expected])


@pytest.mark.parametrize("part", ["training", "test"])
@pytest.mark.parametrize(
    ("change", "workers", "said"),
    [
        (lambda content: content + b"x", 0, " bytes, and had "),
        (lambda content: b"", 0, "has 0 bytes, and had "),
        (lambda content: content[:-500] + bytes(500), 1, "has fewer than the 40 frames asked for"),
        # The decoder makes up what is missing here.
        (lambda content: content[:1400] + b"\xff" * 16 + content[1416:], 0, "is damaged"),
        (None, 0, "cannot be opened (No such file or directory)"),
    ],
    ids=["longer", "empty", "cut", "damaged", "gone"],
)
def test_a_file_that_breaks_or_changes_after_its_preparation_is_named(part, change, workers, said, root, tmp_path):
    path = tmp_path / "b.mp4"
    path.write_bytes((root / "0.mp4").read_bytes())
    rows = one_row(path, id="wave/b", frames=FRAMES, width=96, height=64)
    path.write_bytes(change(path.read_bytes())) if change else path.unlink()
    shape = ClipShape(FRAMES, 1, 64)
    clips = TrainClips(rows, tmp_path, shape, 0) if part == "training" else EvalClips(rows, tmp_path, shape, 1, 1)
    with pytest.raises(UserError) as refusal:
        list(DataLoader(clips, sampler=[(0, 0) if part == "training" else 0], num_workers=workers))
    sentence = str(refusal.value).splitlines()[-1]
    assert f"Video {path} (wave/b) " in sentence and said in sentence
    assert sentence.endswith("; replace it, or prepare the data set again.")


def test_all_views_of_a_video_are_read_in_one_pass(root, rows):
    clips, asked = EvalClips(rows, root, ClipShape(8, 1, 48), clips=5, crops=3), []
    read, clips.rows.read_frames = clips.rows.read_frames, lambda *what: asked.append(what[1]) or read(*what)
    clips[0]
    (indices,) = asked
    assert len(indices) == len(set(indices.tolist())) == FRAMES


def test_a_view_shows_the_crop_of_the_scaled_frame(root):
    rows = one_row(root / "0.mp4", id="video", frames=FRAMES, width=96, height=64)
    views = EvalClips(rows, root, ClipShape(1, 1, 48), 1, 3, short_side=64)[0]["video"]
    centre = read_frames(root / "0.mp4", [(FRAMES - 1) // 2])[0, 8:56]
    for view, left in zip(views, (0, 24, 48), strict=True):
        np.testing.assert_array_equal(view[:, 0].permute(1, 2, 0).numpy(), centre[:, left : left + 48])


def test_the_reader_gets_the_clock_of_a_file_that_has_one(root, rows, monkeypatch):
    monkeypatch.setattr("dynamonet.data.clips.CACHE_BYTES", 0)
    clock = check_video(root / "0.mp4").clock
    assert clock is not None
    timed = rows.assign(first_pts=[clock.first_pts, 0, 0, 0], pts_step=[clock.step, 0, 0, 0])
    clips, counted = (TrainClips(some, root, ClipShape(8, 1, 32), seed=0) for some in (timed, rows))
    seen = []

    def spy(path, indices, clock, part):
        seen.append((path.name, clock))
        return read_frames(path, indices, clock, part)

    clips.rows.read_frames = spy
    for row in (0, 1):
        assert torch.equal(clips[3, row]["video"], counted[3, row]["video"])
    assert seen == [("0.mp4", clock), ("1.mp4", None)]
    with pytest.raises(UserError, match="no reader 'abacus'"):
        EvalClips(rows, root, ClipShape(8, 1, 32), 1, 1, reader="abacus")


@pytest.mark.parametrize("size", [(64, 96), (96, 64)])
def test_three_crops_are_both_ends_and_the_centre(size, tmp_path):
    height, width = size
    ramp = np.add.outer(np.arange(height), np.arange(width))[..., None].repeat(3, 2).astype(np.uint8)
    encode(tmp_path / "ramp.mp4", [ramp] * 4, "h264", 25)
    rows = one_row(tmp_path / "ramp.mp4", id="ramp", frames=4, width=width, height=height)
    views = EvalClips(rows, tmp_path, ClipShape(2, 1, 64), clips=1, crops=3)[0]["video"]
    corners = views[:, 0, 0, 8, 8].int() - 16
    assert ((corners - torch.tensor([0, 16, 32])).abs() <= 3).all()
    centre = EvalClips(rows, tmp_path, ClipShape(2, 1, 64), clips=1, crops=1)[0]["video"]
    assert torch.equal(centre[0], views[1])


def test_evaluation_views_are_clips_times_crops(rows, root, barcodes):
    views = EvalClips(rows, root, ClipShape(4, 1, 64), clips=3, crops=3)[0]["video"]
    whole = read_frames(root / "0.mp4", range(FRAMES))
    for clip, start in enumerate((0, 18, 36)):
        for crop, left in enumerate((0, 16, 32)):
            expected = whole[start : start + 4, :, left : left + 64].transpose(3, 0, 1, 2)
            np.testing.assert_array_equal(views[clip * 3 + crop].numpy(), expected)


def test_torchvision_is_slow_to_import_and_not_needed(root):
    code = """
import pathlib, sys, pandas as pd
from dynamonet.data.clips import ClipShape, EvalClips
size = pathlib.Path(sys.argv[1], "0.mp4").stat().st_size
row = dict(file="0.mp4", file_bytes=size, class_index=0, frames=40, width=96, height=64, first_pts=0, pts_step=0)
rows = pd.DataFrame([dict(row, id="0")])
EvalClips(rows, sys.argv[1], ClipShape(4, 1, 32), 1, 1)[0]
print("torchvision" in sys.modules)
"""
    assert subprocess.check_output([sys.executable, "-c", code, str(root)], text=True) == "False\n"


def test_every_epoch_sees_every_row_once():
    order = list(chain.from_iterable(batches(10, 4, seed=0, start_step=0, steps=10)))
    assert len(order) == 40
    for epoch in range(4):
        assert sorted(row for e, row in order if e == epoch) == list(range(10))
    assert [len(batch) for batch in batches(3, 8, seed=0, start_step=0, steps=2)] == [8, 8]


def test_a_resumed_sequence_is_the_same():
    whole = list(batches(10, 4, seed=5, start_step=0, steps=12))
    assert list(batches(10, 4, seed=5, start_step=7, steps=12)) == whole[7:]
    assert whole != list(batches(10, 4, seed=6, start_step=0, steps=12))
