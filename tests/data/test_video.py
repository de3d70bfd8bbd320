import sys
from dataclasses import replace

import av
import numpy as np
import pytest
from video_cases import CASES, cut_by_edit_list, pack, write_case

import dynamonet.data
from dynamonet.data import seeking, video
from dynamonet.data.check import check_video
from dynamonet.data.crop import Box
from dynamonet.data.seeking import FrameClock, SeekingDecoder
from dynamonet.data.video import Part, VideoError, decoded_frames, opened, read_frames, reader, upright
from dynamonet.errors import UserError

FRAMES = 50


@pytest.fixture(scope="module", params=CASES)
def numbered(request, barcodes, tmp_path_factory):
    case = CASES[request.param]
    path = tmp_path_factory.mktemp("numbered") / f"numbered.{case.suffix}"
    write_case(path, case, map(barcodes.draw, range(FRAMES)))
    return path


@pytest.fixture
def read_by_clock(monkeypatch):
    """`read_frames` that fails where it would count from the start of the file."""

    def refuse(path, *_):
        raise AssertionError(f"{path} was read from its start")

    def read(path, indices, clock, part=None):
        with monkeypatch.context() as patch:
            patch.setattr(video, "_counted", refuse)
            return read_frames(path, indices, clock, part)

    return read


@pytest.fixture(params=["pyav", "torchcodec"])
def either_reader(request):
    try:
        return reader(request.param)
    except UserError as error:
        pytest.skip(str(error))


def full_decode(path):
    with av.open(str(path), metadata_errors="ignore") as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def random_clips(frames, count, seed=0):
    """Clips, clips with gaps, clips far apart in one call, and single frames."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        start, stride = rng.integers(0, frames), (1, 3, 1, 1)[number % 4]
        clip = np.minimum(np.arange(start, start + 16 * stride, stride), frames - 1)
        yield (clip, clip, np.concatenate([clip[:4], rng.integers(0, frames, 3)]), clip[:1])[number % 4]


@pytest.mark.parametrize("indices", [[0], [49], range(50), [7, 3, 3, 49, 0], range(5, 45, 3)])
def test_reads_the_frames_asked_for(numbered, barcodes, indices):
    frames = read_frames(numbered, indices)
    assert frames.dtype == np.uint8
    assert barcodes.read(frames) == list(indices)


def test_frames_equal_full_decode(numbered):
    np.testing.assert_array_equal(read_frames(numbered, range(FRAMES)), np.stack(full_decode(numbered)))


def test_frames_found_by_the_clock_equal_counted_ones(numbered, read_by_clock):
    clock = check_video(numbered).clock  # test_check.py says which have one
    every = read_frames(numbered, range(FRAMES))
    for indices in random_clips(FRAMES, 40):
        frames = read_frames(numbered, indices) if clock is None else read_by_clock(numbered, indices, clock)
        np.testing.assert_array_equal(frames, every[indices])


class CountingDecoder(SeekingDecoder):
    """Notes the packets that it decodes, and how many frames come of them."""

    def __init__(self, stream, clock):
        super().__init__(stream, clock)
        self.packets_decoded, self.frames_given = [], 0

    def _decode(self, packet, number):
        super()._decode(packet, number)
        self.frames_given += len(self.decoded)
        if packet.size:
            self.packets_decoded.append(self.clock.number(packet.pts))


@pytest.mark.parametrize("name", ["h264, GOP 250", "mpeg4 mp4, B-frames"])
def test_passing_over_non_reference_frames_changes_no_pixel(name, barcodes, tmp_path, monkeypatch):
    path = tmp_path / "b.mp4"
    write_case(path, CASES[name], map(barcodes.draw, range(FRAMES)))
    clock, every = check_video(path).clock, read_frames(path, range(FRAMES))
    given = []
    for codecs in (seeking.SKIPPING_CODECS, ()):
        monkeypatch.setattr(seeking, "SKIPPING_CODECS", codecs)
        with opened(path) as stream:
            decoder = CountingDecoder(stream, clock)
            frame = decoder.frame(FRAMES - 3)
            np.testing.assert_array_equal(frame.to_ndarray(format="rgb24"), every[FRAMES - 3])
            given.append(decoder.frames_given)
    assert given[0] < given[1]


def test_only_the_frames_since_the_key_frame_are_decoded(barcodes, tmp_path):
    path = tmp_path / "gop8.mp4"
    write_case(path, CASES["h264, GOP 8"], map(barcodes.draw, range(FRAMES)))
    with opened(path) as stream:
        decoder = CountingDecoder(stream, check_video(path).clock)
        for number in (9, 44, 45):
            decoder.frame(number)
    # A few more than asked for: the decoder gives a frame when it has those that are shown later but needed before.
    assert set(decoder.packets_decoded) <= {*range(8, 16), *range(40, 50)}
    assert len(decoder.packets_decoded) == len(set(decoder.packets_decoded))


@pytest.mark.parametrize("clock", [FrameClock(0, 7), FrameClock(100, 512), FrameClock(0, 1024)])
def test_where_a_clock_does_not_hold_frames_are_counted(clock, barcodes, tmp_path):
    path = tmp_path / "gop8.mp4"
    write_case(path, CASES["h264, GOP 8"], map(barcodes.draw, range(FRAMES)))
    for indices in ([1, 2, 3], [20, 21], [49]):
        assert barcodes.read(read_frames(path, indices, clock)) == indices


def test_packed_b_frames(barcodes, tmp_path):
    write_case(tmp_path / "b.avi", replace(CASES["mpeg4 avi, B-frames"], gop=250), map(barcodes.draw, range(49)))
    pack(tmp_path / "b.avi", tmp_path / "packed.avi")
    assert barcodes.read(read_frames(tmp_path / "packed.avi", range(49))) == list(range(49))
    times = [frame.pts for frame in decoded_frames(tmp_path / "packed.avi")]
    assert times != sorted(times)  # who sorts by them, or seeks by them, shuffles the frames
    assert check_video(tmp_path / "packed.avi").clock is None


def test_frames_hidden_by_an_edit_list_are_not_counted(barcodes, tmp_path, read_by_clock):
    case = replace(CASES["h264, GOP 250"], gop=12, options={"x264-params": "scenecut=0:bframes=0"})
    write_case(tmp_path / "whole.mp4", case, map(barcodes.draw, range(FRAMES)))
    cut_by_edit_list(tmp_path / "whole.mp4", tmp_path / "cut.mp4", frames=7)
    assert barcodes.read(read_frames(tmp_path / "cut.mp4", range(43))) == list(range(7, 50))
    clock = check_video(tmp_path / "cut.mp4").clock
    for indices in ([0], [3, 4], [5, 6], [30]):
        frames = read_by_clock(tmp_path / "cut.mp4", indices, clock)
        assert barcodes.read(frames) == [7 + number for number in indices]


def test_variable_frame_rate(barcodes, tmp_path):
    times = np.cumsum(np.random.default_rng(0).integers(1, 4, FRAMES)).tolist()
    write_case(tmp_path / "vfr.mp4", CASES["h264, GOP 8"], map(barcodes.draw, range(FRAMES)), times)
    assert barcodes.read(read_frames(tmp_path / "vfr.mp4", range(FRAMES))) == list(range(FRAMES))
    assert check_video(tmp_path / "vfr.mp4").clock is None


def test_real_clips_equal_full_decode(real_clips, read_by_clock):
    clocks = []
    for path in real_clips:
        if path.name == "decord_corrupted.mp4":
            continue
        frames, clock = full_decode(path), check_video(path).clock
        if path.suffix == ".mov":
            frames = [np.rot90(frame, -1) for frame in frames]  # as its rotation tag says
        for seed, indices in enumerate(random_clips(len(frames), 2 if frames[0].size < 64 * 64 * 4 else 8)):
            expected = np.stack([frames[number] for number in indices])
            if seed % 2 == 0 or clock is None:
                np.testing.assert_array_equal(read_frames(path, indices), expected)
            if clock is not None:
                np.testing.assert_array_equal(read_by_clock(path, indices, clock), expected)
        clocks.append(clock)
    # AVI files with B-frames have none: all of HMDB51, one of UCF101.
    assert clocks.count(None) == 7 and len(clocks) > 20


def test_rotation_tag_is_applied(real_clips):
    turned = next(path for path in real_clips if path.suffix == ".mov")
    frame = next(decoded_frames(turned))
    image = read_frames(turned, [0])[0]
    np.testing.assert_array_equal(image, np.rot90(full_decode(turned)[0], -1))
    np.testing.assert_array_equal(image, upright(frame.to_ndarray(format="rgb24"), frame))
    assert (check_video(turned).height, check_video(turned).width) == image.shape[:2]


def test_a_part_is_cut_out_of_the_upright_frame(real_clips, either_reader):
    for path in (path for path in real_clips if path.suffix in (".mov", ".avi")):
        whole, info = read_frames(path, [1, 0]), check_video(path)
        part = Part(Box(5, 7, 40, 60), info.height, info.width)
        for clock in {None, info.clock}:
            cut = either_reader(path, [1, 0], clock, part)
            np.testing.assert_array_equal(cut, whole[:, 5:45, 7:67])


def test_frames_of_another_size_than_prepared_are_an_error(numbered, either_reader):
    info = check_video(numbered)
    part = Part(Box(0, 0, 8, 8), info.height + 2, info.width)
    for clock in {None, info.clock}:
        with pytest.raises(VideoError, match=f"of {info.width} x {info.height} pixels, and had {info.width} x"):
            either_reader(numbered, [0], clock, part)


def test_too_short_a_video_is_an_error(numbered):
    for clock in (None, check_video(numbered).clock):
        with pytest.raises(VideoError, match="fewer than the 51 frames"):
            read_frames(numbered, [50], clock)


def test_a_change_of_the_frame_size_is_an_error(barcodes, tmp_path):
    path = tmp_path / "sizes.h264"
    for size in (64, 48):
        write_case(tmp_path / "part.h264", CASES["h264, GOP 8"], [barcodes.draw(0)[:size]] * 3)
        path.write_bytes((path.read_bytes() if path.exists() else b"") + (tmp_path / "part.h264").read_bytes())
    for read in (lambda: read_frames(path, [0, 5]), lambda: check_video(path)):
        with pytest.raises(VideoError, match="changes its frame size"):
            read()


@pytest.mark.parametrize("indices", [[], [3, -1]])
def test_indices_that_are_none(indices, numbered):
    with pytest.raises(ValueError, match="numbers from 0"):
        read_frames(numbered, indices)


def test_readers_by_name():
    assert reader("pyav") is read_frames
    with pytest.raises(UserError, match="no reader 'opencv'"):
        reader("opencv")


def test_torchcodec_that_cannot_be_loaded_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", None)
    monkeypatch.delitem(sys.modules, "dynamonet.data.torchcodec_reader", raising=False)
    monkeypatch.delattr(dynamonet.data, "torchcodec_reader", raising=False)
    with pytest.raises(UserError, match=r"pip install -e \.\[torchcodec\]"):
        reader("torchcodec")
