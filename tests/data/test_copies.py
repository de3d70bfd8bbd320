"""Copies of generated and of real videos: every frame under its number, whole or not at all."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from dynamonet.data import copies
from dynamonet.data.check import check_video
from dynamonet.data.copies import make_copy
from dynamonet.data.copy_recipe import GOP, CopyRecipe
from dynamonet.data.encoding import encode
from dynamonet.data.video import VideoError, read_frames

FRAMES = 30
AS_LARGE = CopyRecipe(short_side=64)
HALF = CopyRecipe(short_side=32)


def write_video(path, frames, name="libx264", pix_fmt="yuv420p", times=None, options=None, **tags):
    """Write uint8 RGB (H, W, 3) as any codec, size and times in units of 1/100 s; tags are those of the stream."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(name, rate=25, options=options or {})
        stream.codec_context.time_base = Fraction(1, 100)
        for number, rgb in enumerate(frames):
            if number == 0:
                stream.height, stream.width = rgb.shape[:2]
                stream.pix_fmt = pix_fmt
                for tag, value in tags.items():
                    setattr(stream.codec_context, tag, value)
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
                format=pix_fmt, dst_colorspace=tags.get("colorspace"), dst_color_range=tags.get("color_range")
            )
            frame.pts, frame.time_base = times[number] if times else 4 * number, Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def psnr_db(one, other):
    return 10 * np.log10(255**2 / np.maximum(((one.astype(float) - other) ** 2).mean(axis=(1, 2, 3)), 1e-9))


def copied(source, out, recipe=AS_LARGE):
    info = make_copy(source, out, recipe, check_video(source).frames)
    return info, read_frames(out, range(info.frames), info.clock)


@pytest.fixture(scope="module")
def slow():
    """A texture that brightens by 4 grey levels a frame: neighbours differ by 36 dB."""
    texture = np.random.default_rng(0).integers(0, 80, (16, 24, 3)).repeat(4, 0).repeat(4, 1)
    return [(texture + 4 * number).astype(np.uint8) for number in range(FRAMES)]


@pytest.fixture
def source(barcodes, tmp_path):
    path = tmp_path / "source.avi"
    encode(path, map(barcodes.draw, range(FRAMES)), "dx50", 25)
    return path


SOURCES = {
    "kinetics.mp4": dict(options={"bf": "3", "g": "250"}),
    "open gop.mkv": dict(options={"bf": "3", "x264-params": "open-gop=1:keyint=10:scenecut=0"}),
    "ucf.avi": dict(name="mpeg4", options={"bf": "0", "g": "12"}),
    "hmdb.avi": dict(name="mpeg4", options={"bf": "2", "g": "250"}),
    "uneven times.mp4": dict(times=[number * (number + 3) for number in range(FRAMES)]),
    "lossless 4:4:4.mkv": dict(name="ffv1", pix_fmt="yuv444p"),
    "motion jpeg.avi": dict(name="mjpeg", pix_fmt="yuvj420p"),
    "rgb.mkv": dict(name="ffv1", pix_fmt="bgr0"),
}


@pytest.mark.parametrize("name", SOURCES)
def test_every_frame_has_its_number(name, barcodes, tmp_path):
    source, out = tmp_path / name, tmp_path / "copies" / "copy.mp4"
    write_video(source, map(barcodes.draw, range(FRAMES)), **SOURCES[name])
    info, frames = copied(source, out)
    assert barcodes.read(frames) == list(range(FRAMES))
    assert psnr_db(frames, read_frames(source, range(FRAMES))).min() > 30
    assert check_video(out).clock == info.clock == (0, info.clock.step)
    with av.open(str(out)) as container:
        decoded = list(container.decode(video=0))
        metadata = container.metadata | container.streams.video[0].metadata
    assert [frame.pts for frame in decoded] == [number * info.clock.step for number in range(FRAMES)]
    assert [frame.key_frame for frame in decoded] == [number % GOP == 0 for number in range(FRAMES)]
    assert av.video.frame.PictureType.B not in {frame.pict_type for frame in decoded}
    assert not {"title", "encoder", "creation_time", "comment"} & set(metadata)


@pytest.mark.parametrize("frames", [1, 2])
def test_very_short_videos(frames, barcodes, tmp_path):
    encode(tmp_path / "short.avi", map(barcodes.draw, range(frames)), "dx50", 25)
    info, images = copied(tmp_path / "short.avi", tmp_path / "copy.mp4")
    assert info.frames == frames
    assert barcodes.read(images) == list(range(frames))


@pytest.mark.parametrize(
    ("size", "short_side", "stored"),
    [
        ((96, 64), 64, (96, 64)),
        ((96, 64), 32, (48, 32)),
        ((64, 96), 32, (32, 48)),
        ((96, 64), 256, (96, 64)),  # never enlarged
        ((95, 63), 64, (94, 62)),
        ((340, 256), 128, (170, 128)),
        ((454, 256), 240, (426, 240)),
    ],
)
def test_sides_are_even_and_the_shorter_one_as_asked_for(size, short_side, stored, tmp_path):
    width, height = size
    pixels = np.tile(np.linspace(0, 255, width).astype(np.uint8)[None, :, None], (height, 1, 3))
    write_video(tmp_path / "source.avi", [pixels] * 2, "mpeg4")
    info, frames = copied(tmp_path / "source.avi", tmp_path / "copy.mp4", CopyRecipe(short_side=short_side))
    assert (info.width, info.height) == stored == frames.shape[2:0:-1]


def test_copies_are_upright(slow, tmp_path):
    write_video(tmp_path / "source.mp4", slow)
    content = (tmp_path / "source.mp4").read_bytes()
    one, none = b"\x00\x01\x00\x00", b"\x00\x00\x00\x00"
    last = b"\x40\x00\x00\x00"
    at = content.index(b"tkhd") + 4 + 40  # its matrix
    assert content[at : at + 36] == one + none * 3 + one + none * 3 + last
    turned = none + one + none + b"\xff\xff\x00\x00" + none * 4 + last  # a quarter turn clockwise
    (tmp_path / "turned.mp4").write_bytes(content[:at] + turned + content[at + 36 :])
    info, frames = copied(tmp_path / "turned.mp4", tmp_path / "copy.mp4")
    assert (info.width, info.height) == (64, 96)
    assert psnr_db(frames, read_frames(tmp_path / "turned.mp4", range(FRAMES))).min() > 30


@pytest.mark.parametrize("tags", [dict(colorspace=1, color_range=1), dict(colorspace=5, color_range=2)])
def test_colours_stay_whatever_they_are_coded_in(tags, tmp_path):
    pixels = np.array([[200, 30, 40], [20, 160, 60], [30, 40, 210]], np.uint8).repeat(32, 0)[None].repeat(64, 0)
    write_video(tmp_path / "source.mp4", [pixels] * 3, options={"crf": "1"}, **tags)
    _, frames = copied(tmp_path / "source.mp4", tmp_path / "copy.mp4")
    assert psnr_db(frames[:, :, 8:24], np.stack([pixels] * 3)[:, :, 8:24]).min() > 40


def test_interlaced_frames_are_scaled_as_one_picture(tmp_path):
    pixels = np.random.default_rng(0).integers(60, 200, (64, 96, 1)).astype(np.uint8).repeat(3, 2)
    frames = {}
    for name, options in {"whole": {}, "fields": {"flags": "+ildct", "x264-params": "tff=1"}}.items():
        write_video(tmp_path / f"{name}.mp4", [pixels] * 2, options=options | {"crf": "1"})
        _, frames[name] = copied(tmp_path / f"{name}.mp4", tmp_path / f"{name}-copy.mp4", HALF)
    with av.open(str(tmp_path / "fields.mp4")) as container:
        assert next(container.decode(video=0)).interlaced_frame
    assert psnr_db(frames["whole"], frames["fields"]).min() > 35


def test_equal_source_and_recipe_give_equal_bytes(source, tmp_path):
    one, other = (make_copy(source, tmp_path / f"{number}.mp4", HALF, FRAMES) for number in range(2))
    assert (tmp_path / "0.mp4").read_bytes() == (tmp_path / "1.mp4").read_bytes()
    assert one == other
    assert one.bytes == (tmp_path / "0.mp4").stat().st_size
    assert one.encoder.startswith("x264 core ")
    assert 30 < one.psnr_min_db <= one.psnr_mean_db <= 100
    finer = make_copy(source, tmp_path / "finer.mp4", CopyRecipe(short_side=32, crf=8), FRAMES)
    assert finer.bytes > one.bytes
    assert finer.psnr_mean_db > one.psnr_mean_db


def test_a_copy_that_is_there_stays(source, tmp_path):
    out = tmp_path / "copy.mp4"
    first, before = make_copy(source, out, HALF, FRAMES), out.stat()
    assert make_copy(source, out, HALF, FRAMES) == first
    assert (out.stat().st_ino, out.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_file_in_its_place_that_is_no_true_copy_is_replaced(source, slow, tmp_path):
    out = tmp_path / "copy.mp4"
    first = make_copy(source, out, AS_LARGE, FRAMES)
    true = out.read_bytes()
    write_video(tmp_path / "other.mp4", slow)
    make_copy(tmp_path / "other.mp4", tmp_path / "other-copy.mp4", AS_LARGE, FRAMES)
    for wrong in (true[: len(true) // 2], b"", (tmp_path / "other-copy.mp4").read_bytes(), source.read_bytes()):
        out.write_bytes(wrong)
        assert make_copy(source, out, AS_LARGE, FRAMES) == first
        assert out.read_bytes() == true


@pytest.mark.parametrize("name", ["a [b] !+ (HQ).avi", "100%d 'x' #?&.avi", "é;$HOME *.avi"])
def test_any_file_name_will_do(name, source, tmp_path):
    info = make_copy(source.rename(tmp_path / name), tmp_path / f"out {name}" / f"{name}.mp4", HALF, FRAMES)
    assert info.frames == FRAMES


def test_a_source_that_does_not_decode_is_named(source, tmp_path):
    content = bytearray(source.read_bytes())
    (tmp_path / "empty.avi").write_bytes(b"")
    (tmp_path / "text.avi").write_bytes(b"no video" * 100)
    (tmp_path / "cut.avi").write_bytes(content[: len(content) // 2])
    for name in ("empty.avi", "text.avi", "cut.avi", "missing.avi"):
        with pytest.raises(VideoError, match=name):
            make_copy(tmp_path / name, tmp_path / "copies" / "copy.mp4", HALF, FRAMES)
    with pytest.raises(VideoError, match=r"source\.avi has 30 frames now, and had 31"):
        make_copy(source, tmp_path / "copies" / "copy.mp4", HALF, FRAMES + 1)
    write_video(tmp_path / "long.avi", [np.zeros((32, 16400, 3), np.uint8)], "ffv1")  # x264 ends at 16384
    with pytest.raises(VideoError, match=r"long\.avi cannot be encoded"):
        make_copy(tmp_path / "long.avi", tmp_path / "copies" / "copy.mp4", HALF, 1)
    assert list((tmp_path / "copies").iterdir()) == []


def late(encoder):
    """An encoder that shows each frame one place too late."""

    @contextmanager
    def opened(*arguments):
        with encoder(*arguments) as encode:
            queue = []

            def delayed(frame):
                queue.append(frame)
                encode(queue[max(0, len(queue) - 2)])

            yield delayed

    return opened


def test_frames_under_a_wrong_number_are_noticed(source, slow, tmp_path, monkeypatch):
    write_video(tmp_path / "slow.mp4", slow)
    monkeypatch.setattr(copies, "_encoder", late(copies._encoder))
    with pytest.raises(VideoError, match=r"source\.avi gives a copy that has a PSNR of only .* dB in frame"):
        make_copy(source, tmp_path / "copies" / "copy.mp4", AS_LARGE, FRAMES)
    with pytest.raises(VideoError, match=r"slow\.mp4 gives a copy that shows frame 7 as frame 8"):
        make_copy(tmp_path / "slow.mp4", tmp_path / "copies" / "copy.mp4", AS_LARGE, FRAMES)
    assert list((tmp_path / "copies").iterdir()) == []


IN_ANOTHER_PROCESS = """
import resource, sys, time
from pathlib import Path
from dynamonet.data import copies
from dynamonet.data.copy_recipe import CopyRecipe

def slowly(path, decoded_frames=copies.decoded_frames):
    for frame in decoded_frames(path):
        yield frame
        time.sleep(float(sys.argv[3]))

copies.decoded_frames = slowly
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), resource.RLIM_INFINITY))
try:
    copies.make_copy(Path(sys.argv[1]), Path(sys.argv[2]), CopyRecipe(short_side=64), 30)
except OSError as error:
    print(error.errno)
"""


def another_process(source, out, pause_s=0.0, most_bytes=1 << 40):
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS, source, out, str(pause_s), str(most_bytes)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_killed_copy_leaves_nothing_that_passes_for_one(source, tmp_path):
    out = tmp_path / "copies" / "copy.mp4"
    process = another_process(source, out, pause_s=0.5)
    deadline = time.monotonic() + 60
    while not list(out.parent.glob(".copy.mp4.*")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists()
    assert all(path.name.startswith(".") for path in out.parent.iterdir())
    assert make_copy(source, out, AS_LARGE, FRAMES).frames == FRAMES


def test_a_full_disk_is_an_os_error_and_leaves_nothing(source, tmp_path):
    out = tmp_path / "copies" / "copy.mp4"
    printed, _ = another_process(source, out, most_bytes=1000).communicate(timeout=60)
    assert os.strerror(int(printed)) == "File too large"
    assert list(out.parent.iterdir()) == []


BENCHMARKS = {"ucf101", "hmdb51", "kinetics400"}


def test_real_clips(real_clips, tmp_path):
    """Every clip of the benchmarks, and one turned by its metadata."""
    chosen = [path for path in real_clips if BENCHMARKS & {*path.parts} or "video_90" in path.name]
    assert len(chosen) > 10
    for path in chosen:
        info, frames = copied(path, tmp_path / f"{path.stem}.mp4")
        originals = read_frames(path, range(info.frames))
        reformatter = VideoReformatter()
        scaled = [
            reformatter.reformat(
                av.VideoFrame.from_ndarray(rgb, format="rgb24"),
                info.width,
                info.height,
                interpolation="BICUBIC",
                threads=1,
            ).to_ndarray()
            for rgb in np.ascontiguousarray(originals)
        ]
        assert psnr_db(frames, np.stack(scaled)).min() > 28, path.name
        assert info.psnr_min_db > 35, path.name
