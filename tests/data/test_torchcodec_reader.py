import numpy as np
import pytest
from video_cases import CASES, write_case

from dynamonet.data import video
from dynamonet.data.check import check_video
from dynamonet.data.video import VideoError, read_frames, reader
from dynamonet.errors import UserError

FRAMES = 50


@pytest.fixture(scope="module")
def torchcodec():
    try:
        return reader("torchcodec")
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture
def read_by_torchcodec(torchcodec, monkeypatch):
    """The reader, which fails where it would hand over to PyAV."""

    def refuse(path, *_):
        raise AssertionError(f"{path} was not read by TorchCodec")

    def read(path, indices, clock):
        with monkeypatch.context() as patch:
            patch.setattr(video, "read_frames", refuse)
            return torchcodec(path, indices, clock)

    return read


@pytest.mark.parametrize("name", ["h264, GOP 250", "h264, GOP 8", "h264 mkv"])
def test_frames_are_those_of_pyav(name, barcodes, tmp_path, read_by_torchcodec):
    path = tmp_path / f"numbered.{CASES[name].suffix}"
    write_case(path, CASES[name], map(barcodes.draw, range(FRAMES)))
    clock, rng = check_video(path).clock, np.random.default_rng(0)
    for indices in ([0], [49], [7, 3, 3, 49, 0], *rng.integers(0, FRAMES, (10, 8))):
        frames = read_by_torchcodec(path, indices, clock)
        assert frames.dtype == np.uint8 and frames.flags.c_contiguous
        np.testing.assert_array_equal(frames, read_frames(path, indices))


@pytest.mark.parametrize("name", CASES)
def test_no_file_gives_other_frames_than_those_asked_for(name, barcodes, tmp_path, torchcodec):
    path = tmp_path / f"numbered.{CASES[name].suffix}"
    write_case(path, CASES[name], map(barcodes.draw, range(FRAMES)))
    clock, rng = check_video(path).clock, np.random.default_rng(0)
    for indices in rng.integers(0, FRAMES, (10, 5)):
        assert barcodes.read(torchcodec(path, indices, clock)) == indices.tolist()


def test_real_clips_are_the_same_pixels_whatever_their_codec(real_clips, torchcodec):
    infos = {path: check_video(path) for path in real_clips if path.name != "decord_corrupted.mp4"}
    assert {path.suffix for path, info in infos.items() if info.clock} >= {".mp4", ".mov", ".avi"}
    for path, info in infos.items():
        indices = np.random.default_rng(0).integers(0, info.frames, 12)
        np.testing.assert_array_equal(torchcodec(path, indices, info.clock), read_frames(path, indices))


def test_errors_are_those_of_pyav(barcodes, tmp_path, torchcodec):
    path = tmp_path / "numbered.mp4"
    write_case(path, CASES["h264, GOP 8"], map(barcodes.draw, range(FRAMES)))
    clock = check_video(path).clock
    with pytest.raises(VideoError, match="fewer than the 51 frames"):
        torchcodec(path, [50], clock)
    with pytest.raises(VideoError, match="cannot be opened"):
        torchcodec(tmp_path / "missing.mp4", [0], clock)
