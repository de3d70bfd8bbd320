import re
import shutil
import subprocess

import av
import numpy as np
import pytest
from video_cases import CASES, write_case

from dynamonet.data.check import check_video
from dynamonet.data.video import VideoError, decoded_frames, read_frames

FRAMES = 50
CONTAINERS = {"mp4": "h264, GOP 8", "avi": "xvid", "b.avi": "mpeg4 avi, B-frames", "mkv": "h264 mkv"}


@pytest.fixture(scope="module", params=CONTAINERS)
def whole(request, barcodes, tmp_path_factory):
    """A good file; its index is at its front where the container allows it, so that a part of it can be opened."""
    path = tmp_path_factory.mktemp("whole") / f"whole.{request.param}"
    write_case(path, CASES[CONTAINERS[request.param]], map(barcodes.draw, range(FRAMES)))
    if path.suffix == ".mp4":
        with av.open(str(path)) as old, av.open(str(path) + ".mp4", "w", options={"movflags": "faststart"}) as new:
            stream = new.add_stream_from_template(old.streams.video[0])
            for packet in old.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    new.mux(packet)
        path = path.with_name(path.name + ".mp4")
    return path


def refusal(path):
    try:
        check_video(path)
    except VideoError as error:
        return error.reason
    return None


@pytest.mark.parametrize("name", CASES)
def test_a_good_file(name, barcodes, tmp_path):
    path = tmp_path / f"good.{CASES[name].suffix}"
    write_case(path, CASES[name], map(barcodes.draw, range(FRAMES)))
    info = check_video(path)
    assert (info.frames, info.width, info.height, info.fps, info.duration_s) == (FRAMES, 96, 64, 25, 2)
    assert (info.clock is not None) == CASES[name].clock


@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize("name", ["xvid", "h264, GOP 8"])
def test_a_file_of_few_frames_is_a_good_one(frames, name, barcodes, tmp_path):
    path = tmp_path / f"few.{CASES[name].suffix}"
    write_case(path, CASES[name], map(barcodes.draw, range(frames)))
    info = check_video(path)
    assert info.frames == frames and info.duration_s == frames / 25
    assert barcodes.read(read_frames(path, range(frames), info.clock)) == list(range(frames))


def test_dropped_frames_of_an_avi_file_are_not_missed(barcodes, tmp_path):
    write_case(tmp_path / "all.avi", CASES["xvid"], map(barcodes.draw, range(FRAMES)))
    with av.open(str(tmp_path / "all.avi")) as old, av.open(str(tmp_path / "drop.avi"), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.size:
                packet.pts = packet.dts = packet.dts + (packet.dts > 20) + (packet.dts > 30)
                packet.stream = stream
                new.mux(packet)  # which writes an empty chunk where a time is left out
    info = check_video(tmp_path / "drop.avi")
    with av.open(str(tmp_path / "drop.avi")) as container:
        assert container.streams.video[0].frames == FRAMES + 2
    assert info.frames == FRAMES and info.clock is None
    assert barcodes.read(read_frames(tmp_path / "drop.avi", range(FRAMES))) == list(range(FRAMES))


def test_files_cut_short(whole, tmp_path):
    content = whole.read_bytes()
    with av.open(str(whole)) as container:
        ends = [packet.pos + packet.size for packet in container.demux(video=0) if packet.size]
    anywhere = [len(content) * part // 11 for part in range(11)]
    cut = tmp_path / whole.name
    for size in [*anywhere, *ends[4::9]]:  # between two frames, nothing is wrong with what is left
        cut.write_bytes(content[:size])
        # An AVI file's last tenth is its index; all frames are there.
        assert refusal(cut) or [frame.pts for frame in decoded_frames(cut)] == [
            frame.pts for frame in decoded_frames(whole)
        ], size
    cut.write_bytes(content[: ends[40]])
    assert re.search("cut short: it holds 4[01] ", refusal(cut))


def test_damaged_files(whole, tmp_path):
    content, refused, rng = whole.read_bytes(), 0, np.random.default_rng(0)
    damaged = tmp_path / whole.name
    with av.open(str(whole)) as container:
        spans = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size > 40]
    for at in rng.integers(0, len(spans), 10):
        start, size = spans[at]
        noisy = bytearray(content)
        for place in rng.integers(start + 12, start + size, 8):
            noisy[place] ^= 0xFF
        damaged.write_bytes(noisy)
        refused += refusal(damaged) is not None
    # Some noise is a valid picture: neither codec has checksums.
    assert refused >= 6


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="there is no ffmpeg")
def test_what_ffmpeg_refuses_is_refused(whole, tmp_path):
    content, rng = whole.read_bytes(), np.random.default_rng(1)
    bad, refused = tmp_path / whole.name, 0
    strictly = ["ffmpeg", "-nostdin", "-v", "quiet", "-xerror", "-err_detect", "explode"]
    for number in range(4):
        noisy = bytearray(content)
        noisy[rng.integers(len(noisy) // 8, len(noisy))] ^= 0xFF
        bad.write_bytes(noisy if number < 2 else content[: rng.integers(len(content))])
        if subprocess.run([*strictly, "-i", bad, "-f", "null", "-"], check=False).returncode:
            assert refusal(bad), number
            refused += 1
    assert refused


def test_real_clips(real_clips):
    refused = {path.name: refusal(path) for path in real_clips}
    assert [name for name, reason in refused.items() if reason] == ["decord_corrupted.mp4"]
    assert "is damaged after 28 frames" in refused["decord_corrupted.mp4"]


def test_no_file_of_the_motion_set_is_refused(motion_root):
    paths = [path for path in motion_root.rglob("*") if path.suffix in (".avi", ".mp4")]
    assert len(paths) > 50 and {check_video(path).frames for path in paths} == {12}


def write_bad_file(kind, path, barcodes):
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("this is no video\n" * 100)
    elif kind == "audio only":
        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=16000, layout="mono")
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            sound.sample_rate = 16000
            container.mux(stream.encode(sound))
            container.mux(stream.encode())
    elif kind == "folder":
        path.mkdir()


REASONS = {
    "empty": "cannot be opened",
    "text": "cannot be opened",
    "audio only": "has no video stream",
    "folder": "cannot be opened",
    "missing": "cannot be opened",
}


@pytest.mark.parametrize("kind", REASONS)
def test_bad_file_is_one_sentence_that_names_it(kind, barcodes, tmp_path):
    path = tmp_path / "bad.mp4"
    write_bad_file(kind, path, barcodes)
    for read in (check_video, lambda path: read_frames(path, [0])):
        with pytest.raises(VideoError, match=REASONS[kind]) as caught:
            read(path)
        message = str(caught.value)
        assert str(path) in message and "\n" not in message and message.endswith(".")
