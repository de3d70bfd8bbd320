from pathlib import Path

import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader

from dynamonet.data.clips import ClipShape, EvalClips
from dynamonet.data.encoding import encode
from dynamonet.data.video import upright_rgb


def threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


class CountingThreads(EvalClips):
    """Samples that are the number of threads that their making has started, while decoding or for later."""

    def __getitem__(self, row):
        before, seen = threads(), []

        def count(frame, reformatter):
            image = upright_rgb(frame, reformatter)
            seen.append(threads())
            return image

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("dynamonet.data.video.upright_rgb", count)
            super().__getitem__(row)
        return max(*seen, threads()) - before


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("more", [False, True])
def test_decoding_and_resizing_start_no_threads_in_a_worker(tmp_path, barcodes, two_threads, more):
    frames = (barcodes.draw(number).repeat(4, 0).repeat(4, 1) for number in range(20))
    encode(tmp_path / "video.mp4", frames, "h264", 25)
    size = (tmp_path / "video.mp4").stat().st_size
    about = dict(
        file="video.mp4", file_bytes=size, class_index=0, frames=20, width=384, height=256, first_pts=0, pts_step=0
    )
    rows = pd.DataFrame([{"id": number, **about} for number in range(3)])
    clips = CountingThreads(rows, tmp_path, ClipShape(16, 1, 112), 2, 3)
    # What a DataLoader sets to one thread is set to two again, to see that they would be counted.
    allow_two = (lambda worker: torch.set_num_threads(2)) if more else None
    (counts,) = DataLoader(clips, batch_size=len(rows), num_workers=1, worker_init_fn=allow_two)
    assert sum(counts.tolist()) == more
