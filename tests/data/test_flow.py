import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from dynamonet.data.clips import ClipShape, EvalClips, TrainClips
from dynamonet.data.crop import Box, random_square
from dynamonet.data.device_batch import Finish
from dynamonet.data.encoding import encode
from dynamonet.data.flow import StoredFlow, flow_path, mirrored, write_flow
from dynamonet.errors import UserError
from dynamonet.models.card import FLOW_BOUND, FLOW_STEPS, FLOW_ZERO

FRAMES, HEIGHT, WIDTH = 12, 64, 96
ROWS = pd.DataFrame(
    dict(
        id=["ramp"],
        path=["a/ramp.mp4"],
        file=["a/ramp.mp4"],
        class_index=[0],
        frames=[FRAMES],
        width=[WIDTH],
        height=[HEIGHT],
        first_pts=[0],
        pts_step=[0],
    )
)


def rows(root: Path) -> pd.DataFrame:
    return ROWS.assign(file_bytes=(root / ROWS["file"][0]).stat().st_size)


STEP = FLOW_BOUND / FLOW_STEPS
"""The least motion that stored flow tells from none, in 256ths of the shorter side."""


def ramp(height=HEIGHT, width=WIDTH) -> np.ndarray:
    """(height, width), from -64 at the left to 64 at the right, whatever the size."""
    return np.broadcast_to(128 * (np.arange(width) + 0.5) / width - 64, (height, width))


def fields(height=HEIGHT, width=WIDTH) -> np.ndarray:
    """Flow whose motion to the right is the ramp, in steps, and whose motion down is the number of the frame."""
    flow = np.empty((FRAMES - 1, height, width, 2))
    flow[..., 0] = STEP * ramp(height, width)
    flow[..., 1] = STEP * np.arange(FRAMES - 1)[:, None, None]
    return flow


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A video whose grey values are the ramp, and its flow."""
    root = tmp_path_factory.mktemp("ramp")
    (root / "a").mkdir()
    grey = np.rint(ramp() + 128).astype(np.uint8)[..., None].repeat(3, 2)
    encode(root / "a" / "ramp.mp4", [grey] * FRAMES, "h264", 25)
    write_flow(flow_path(root, "a/ramp.mp4"), fields())
    return root


def steps(clip: torch.Tensor) -> torch.Tensor:
    """Motion to the right and down, (2, T, H, W), that the last channels of a clip hold."""
    return clip[3:].int() - FLOW_ZERO


def stored(root, indices: np.ndarray, box: Box) -> torch.Tensor:
    """A crop of 32 pixels of the stored flow of some frames, (2, T, 32, 32)."""
    fields, boxes, gains = StoredFlow(root, ROWS).cut(0, indices, (HEIGHT, WIDTH), [box])
    frames = torch.zeros(len(indices), HEIGHT, WIDTH, 3, dtype=torch.uint8)
    return Finish(32, ((box,), boxes), gains)([frames, fields])[3:]


def test_motion_is_stored_in_steps_and_clamped(tmp_path):
    write_flow(tmp_path / "x.npy", np.array([0, STEP, -STEP, FLOW_BOUND, 1e3, -1e3]).reshape(1, 1, 3, 2))
    assert np.load(tmp_path / "x.npy").ravel().tolist() == [128, 129, 127, 255, 255, 1]


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("crop", [64, 40])
def test_flow_is_cut_and_mirrored_like_the_frames(root, crop, flip):
    clips = TrainClips(rows(root), root, ClipShape(4, 1, crop), seed=0, flip=flip, flow_root=root)
    lefts = set()
    for epoch in range(6):
        video = clips[epoch, 0]["video"]
        assert video.shape == (5, 4, crop, crop) and video.dtype == torch.uint8
        grey = video[0].int() - 128
        rising = grey[0, 0, -1] > grey[0, 0, 0]
        assert rising or flip
        # what is seen in a mirror moves the other way
        assert ((steps(video)[0] - (grey if rising else -grey)).abs() <= 3).all()
        lefts.add(steps(video)[0, 0, 0, 0].item())
    assert len(lefts) > 2


def test_mirroring_turns_only_the_sign_of_motion_to_the_right():
    video = torch.randint(1, 256, (5, 2, 3, 4), dtype=torch.uint8)
    seen = mirrored(video).flip(-1)
    assert torch.equal(seen[:3], video[:3])
    assert torch.equal(steps(seen)[0], -steps(video)[0])
    assert torch.equal(steps(seen)[1], steps(video)[1])
    assert torch.equal(mirrored(video[:3]), video[:3].flip(-1))


def test_enlarging_a_square_enlarges_its_motion(root):
    clips = TrainClips(
        rows(root), root, ClipShape(4, 1, 64), seed=0, box=partial(random_square, scales=(0.5,)), flow_root=root
    )
    video = clips[0, 0]["video"]
    difference = steps(video)[0] - 2 * (video[0].int() - 128)
    assert (difference.abs() <= 5).all()
    assert steps(video)[0].abs().max() > 10


def test_a_box_that_is_no_square_enlarges_motion_by_another_factor_in_each_direction(root):
    clips = TrainClips(
        rows(root), root, ClipShape(4, 1, 32), seed=0, box=lambda height, width, rng: Box(0, 32, 64, 32), flow_root=root
    )
    video = clips[0, 0]["video"]
    assert ((steps(video)[0] - 2 * (video[0].int() - 128)).abs() <= 5).all()
    start = TrainClips(rows(root), root, ClipShape(4, 1, 32), seed=0, flow_root=root)[0, 0]["video"]
    assert torch.equal(steps(video)[1], steps(start)[1])


def test_frames_get_the_motion_to_their_next_one_and_the_last_that_of_the_one_before(root):
    cut = stored(root, np.array([3, 0, 10, 11]), Box(0, 0, 64, 64))
    assert (cut[1].int() - FLOW_ZERO)[:, 0, 0].tolist() == [3, 0, 10, 10]
    clip = TrainClips(rows(root), root, ClipShape(4, 2, 64), seed=0, flow_root=root)[0, 0]["video"]
    assert steps(clip)[1, :, 0, 0].diff().tolist() == [2, 2, 2]


def test_fields_may_have_another_size_than_the_frames(root, tmp_path):
    write_flow(flow_path(tmp_path, "a/ramp.mp4"), fields(20, 30))
    fine, coarse = (stored(folder, np.array([5]), Box(16, 24, 40, 40)).int() for folder in (root, tmp_path))
    assert ((fine - coarse).abs() <= 6).all()
    assert torch.equal(fine[1], coarse[1])


def test_every_view_has_its_flow(root):
    sample = EvalClips(rows(root), root, ClipShape(4, 1, 40), clips=2, crops=3, flow_root=root)[0]
    video = sample["video"]
    assert video.shape == (6, 5, 4, 40, 40)
    for view in video:
        assert ((steps(view)[0] - (view[0].int() - 128)).abs() <= 3).all()
    assert steps(video[0])[1, :, 0, 0].tolist() == [0, 1, 2, 3]
    assert steps(video[3])[1, :, 0, 0].tolist() == [8, 9, 10, 10]
    alone = EvalClips(rows(root), root, ClipShape(4, 1, 40), clips=2, crops=3)[0]["video"]
    assert torch.equal(alone, video[:, :3])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, r"is missing or no \.npy file"),
        (b"", r"is missing or no \.npy file"),
        (b"PK\x03\x04", r"is missing or no \.npy file"),
        (np.zeros((FRAMES - 1, 4, 6, 2), np.float32), "holds float32"),
        (np.zeros((FRAMES - 1, 4, 6, 3), np.uint8), r"holds uint8 \(11, 4, 6, 3\)"),
        (np.zeros((FRAMES - 1, 0, 6, 2), np.uint8), r"holds uint8 \(11, 0, 6, 2\)"),
        (np.zeros((FRAMES, 4, 6, 2), np.uint8), "holds 12 fields, its video of 12 frames needs 11"),
        (np.zeros((FRAMES - 1, 6, 4, 2), np.uint8), "fields of 6 x 4 pixels, unlike the video's frames of 64 x 96"),
    ],
    ids=["missing", "empty", "archive", "floats", "channels", "no pixels", "frames", "shape"],
)
def test_flow_that_does_not_fit_is_named_before_anything_is_read(tmp_path, content, said):
    path = flow_path(tmp_path, "a/ramp.mp4")
    path.parent.mkdir()
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content)
    with pytest.raises(UserError, match=rf"a/ramp.mp4.npy.*{said}") as refusal:
        StoredFlow(tmp_path, ROWS)
    assert "\n" not in str(refusal.value)


def test_a_file_cut_short_is_named(root, tmp_path):
    path = flow_path(tmp_path, "a/ramp.mp4")
    path.parent.mkdir()
    path.write_bytes(flow_path(root, "a/ramp.mp4").read_bytes()[:-10])
    with pytest.raises(UserError, match=r"missing or no \.npy file"):
        StoredFlow(tmp_path, ROWS)


def test_a_video_of_one_frame_has_no_flow(tmp_path):
    with pytest.raises(UserError, match="single frame"):
        StoredFlow(tmp_path, ROWS.assign(frames=1))


def test_clips_with_flow_cross_to_worker_processes(root):
    clips = TrainClips(rows(root), root, ClipShape(4, 1, 32), seed=0, flow_root=root)
    assert torch.equal(pickle.loads(pickle.dumps(clips))[2, 0]["video"], clips[2, 0]["video"])
