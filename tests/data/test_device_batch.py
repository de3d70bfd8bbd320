from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader

from dynamonet.data import device_batch
from dynamonet.data.clips import ClipShape, EvalClips, TrainClips, batches
from dynamonet.data.crop import random_square, resized_box
from dynamonet.data.device_batch import DeviceBatch, collate, on_device
from dynamonet.data.encoding import encode
from dynamonet.data.flow import flow_path, write_flow
from dynamonet.data.resize import resized_by_sums

CPU, ACCELERATOR = torch.device("cpu"), torch.device("cuda")
FRAMES, SIZES = 12, [(64, 48), (48, 64), (40, 90)]
BOX = partial(resized_box, area=(0.2, 0.8), aspect=(0.5, 2.0))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Videos of several sizes and their flow, all of them noise."""
    root = tmp_path_factory.mktemp("noise")
    rng = np.random.default_rng(0)
    for number, (height, width) in enumerate(SIZES):
        encode(root / f"{number}.mp4", rng.integers(0, 256, (FRAMES, height, width, 3), dtype=np.uint8), "h264", 25)
        write_flow(flow_path(root, f"{number}.mp4"), rng.uniform(-9, 9, (FRAMES - 1, height // 2, width // 2, 2)))
    return root


@pytest.fixture(scope="module")
def rows(root):
    files = [f"{number}.mp4" for number in range(len(SIZES))]
    heights, widths = zip(*SIZES, strict=True)
    return pd.DataFrame(
        dict(id=files, path=files, file=files, class_index=[0, 1, 2], frames=FRAMES, height=heights, width=widths)
    ).assign(first_pts=0, pts_step=0, file_bytes=[(root / file).stat().st_size for file in files])


@pytest.fixture
def by_sums(monkeypatch):
    """Resizing as it is done on an accelerator."""
    calls = []
    monkeypatch.setattr(device_batch, "resized", lambda *arguments: calls.append(1) or resized_by_sums(*arguments))
    return calls


def train_batches(rows, root, device, workers=0, **settings):
    clips = TrainClips(rows, root, ClipShape(4, 2, 32, 1), seed=0, flip=True, device=device, **settings)
    plan = list(batches(len(rows), 4, seed=0, start_step=0, steps=3))
    return [batch["video"] for batch in DataLoader(clips, batch_sampler=plan, num_workers=workers, collate_fn=collate)]


@pytest.mark.parametrize("with_flow", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("box", [partial(random_square, scales=(1.0, 0.5)), BOX], ids=["square", "resized"])
def test_training_clips_are_the_same_bytes_wherever_they_are_finished(rows, root, by_sums, box, workers, with_flow):
    settings = dict(box=box, flow_root=root if with_flow else None)
    expected = train_batches(rows, root, CPU, **settings)
    assert expected[0].shape == (4, 5 if with_flow else 3, 5, 32, 32)
    left_to_do = train_batches(rows, root, ACCELERATOR, workers, **settings)
    del by_sums[:]
    for batch, video in zip(left_to_do, expected, strict=True):
        assert isinstance(batch, DeviceBatch) and len(batch) == 4
        assert torch.equal(on_device(batch, CPU), video)
    assert by_sums


@pytest.mark.parametrize("short_side", [None, 40])
@pytest.mark.parametrize("with_flow", [False, True])
def test_views_are_the_same_bytes_wherever_they_are_finished(rows, root, by_sums, with_flow, short_side):
    def video(device):
        settings = dict(short_side=short_side, flow_root=root if with_flow else None, device=device)
        clips = EvalClips(rows, root, ClipShape(4, 1, 32), 3, 3, **settings)
        (batch,) = DataLoader(clips, batch_size=len(rows), collate_fn=collate)
        return batch["video"]

    expected, left_to_do = video(CPU), video(ACCELERATOR)
    assert expected.shape == (3, 9, 5 if with_flow else 3, 4, 32, 32)
    # Frames that several clips and crops share travel once.
    assert left_to_do.pixels.numel() < sum(FRAMES * (3.5 if with_flow else 3) * h * w for h, w in SIZES) + 1
    assert torch.equal(left_to_do.finished(CPU), expected)
    for first, last in ((0, 1), (1, 3), (2, 9)):
        assert torch.equal(left_to_do[first:last].finished(CPU), expected[first:last])


def test_a_finished_batch_keeps_the_channels_last_in_memory(rows, root):
    video = train_batches(rows, root, CPU)[0]
    assert video.movedim(1, -1).is_contiguous()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_gives_the_same_bytes_from_pinned_memory(rows, root):
    settings = dict(box=BOX, flow_root=root)
    expected, left_to_do = (train_batches(rows, root, device, **settings) for device in (CPU, ACCELERATOR))
    for batch, video in zip(left_to_do, expected, strict=True):
        pinned = batch.pin_memory()
        assert pinned.pixels.is_pinned()
        assert torch.equal(pinned.finished(ACCELERATOR).cpu(), video)
