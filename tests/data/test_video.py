import av
import numpy as np
import pytest

from dynamonet.data.encoding import encode
from dynamonet.data.video import VideoError, probe, read_frames

FRAMES = 50
CODECS = [("h264", "mp4"), ("xvid", "avi"), ("dx50", "avi")]


@pytest.fixture(scope="module", params=CODECS, ids=lambda codec: codec[0])
def numbered(request, barcodes, tmp_path_factory):
    codec, suffix = request.param
    path = tmp_path_factory.mktemp("numbered") / f"numbered.{suffix}"
    encode(path, map(barcodes.draw, range(FRAMES)), codec, 25)
    return path


def full_decode(path):
    with av.open(str(path), metadata_errors="ignore") as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.mark.parametrize("indices", [[0], [49], range(50), [7, 3, 3, 49, 0], range(5, 45, 3)])
def test_reads_the_frames_asked_for(numbered, barcodes, indices):
    frames = read_frames(numbered, indices)
    assert frames.dtype == np.uint8
    assert barcodes.read(frames) == list(indices)


def test_frames_equal_full_decode(numbered):
    np.testing.assert_array_equal(read_frames(numbered, range(FRAMES)), np.stack(full_decode(numbered)))


def test_probe_counts_frames(numbered):
    info = probe(numbered)
    assert (info.frames, info.width, info.height, info.fps) == (FRAMES, 96, 64, 25)


def test_b_frames_are_really_there(barcodes, tmp_path):
    encode(tmp_path / "b.avi", map(barcodes.draw, range(FRAMES)), "dx50", 25)
    with av.open(str(tmp_path / "b.avi")) as container:
        assert av.video.frame.PictureType.B in {frame.pict_type for frame in container.decode(video=0)}


def test_real_clips_equal_full_decode(real_clips):
    checked = 0
    for path in real_clips:
        try:
            frames = full_decode(path)
        except av.FFmpegError:
            with pytest.raises(VideoError):
                probe(path)
            continue
        if path.suffix == ".mov":
            continue  # turned by its rotation tag, tested below
        assert probe(path).frames == len(frames)
        picks = np.random.default_rng(0).integers(0, len(frames), 16)
        np.testing.assert_array_equal(read_frames(path, picks), np.stack([frames[pick] for pick in picks]))
        checked += 1
    assert checked


def test_rotation_tag_is_applied(real_clips):
    turned = next(path for path in real_clips if path.suffix == ".mov")
    upright = read_frames(turned, [0])[0]
    np.testing.assert_array_equal(upright, np.rot90(full_decode(turned)[0], -1))
    assert (probe(turned).height, probe(turned).width) == upright.shape[:2]


def test_too_short_a_video_is_an_error(numbered):
    with pytest.raises(VideoError, match="fewer than the 51 frames"):
        read_frames(numbered, [50])


def write_bad_file(kind, path, barcodes):
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("this is no video\n" * 100)
    elif kind == "truncated":
        encode(path, map(barcodes.draw, range(FRAMES)), "h264", 25)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif kind == "audio only":
        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=16000, layout="mono")
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            sound.sample_rate = 16000
            container.mux(stream.encode(sound))
            container.mux(stream.encode())
    elif kind == "folder":
        path.mkdir()


@pytest.mark.parametrize("kind", ["empty", "text", "truncated", "audio only", "folder", "missing"])
def test_bad_file_is_one_sentence_that_names_it(kind, barcodes, tmp_path):
    path = tmp_path / "bad.mp4"
    write_bad_file(kind, path, barcodes)
    for read in (probe, lambda path: read_frames(path, [0])):
        with pytest.raises(VideoError) as caught:
            read(path)
        message = str(caught.value)
        assert str(path) in message and "\n" not in message and message.endswith(".")
