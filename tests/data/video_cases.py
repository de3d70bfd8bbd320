"""Numbered frames in the codecs and containers that the data sets come in, and in those that trip up readers."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


@dataclass(frozen=True)
class Case:
    suffix: str
    codec: str
    gop: int
    clock: bool
    """Whether frames can be found by their time stamps."""
    options: dict[str, str] = field(default_factory=dict)
    tag: str | None = None


X264, MPEG4 = {"preset": "veryfast", "x264-params": "scenecut=0"}, {"flags": "+qscale", "global_quality": "354"}
OPEN_GOP = {"preset": "veryfast", "x264-params": "scenecut=0:open-gop=1:bframes=3"}
INTRA_REFRESH = {"preset": "veryfast", "x264-params": "intra-refresh=1:bframes=0"}
X265 = {"preset": "ultrafast", "x265-params": "log-level=none:open-gop=1:bframes=3:pools=1:frame-threads=1"}
VP9 = {"deadline": "realtime", "cpu-used": "8"}

CASES = {
    "xvid": Case("avi", "mpeg4", 12, True, MPEG4 | {"bf": "0"}, "XVID"),
    "mpeg4 avi, B-frames": Case("avi", "mpeg4", 12, False, MPEG4 | {"bf": "2"}, "DX50"),
    "mpeg4 mp4, B-frames": Case("mp4", "mpeg4", 12, True, MPEG4 | {"bf": "2"}),
    "h264, GOP 250": Case("mp4", "libx264", 250, True, X264),
    "h264, GOP 8": Case("mp4", "libx264", 8, True, X264),
    # After a seek its first frames refer to others that are missing, which is an error as damage is.
    "h264, open GOP": Case("mp4", "libx264", 12, False, OPEN_GOP),
    "h264, interlaced": Case("mp4", "libx264", 12, True, X264 | {"flags": "+ildct+ilme"}),
    "h264, intra refresh": Case("mp4", "libx264", 12, False, INTRA_REFRESH),
    "h264 mkv": Case("mkv", "libx264", 12, True, X264),
    "h265, open GOP": Case("mp4", "libx265", 12, True, X265),
    "vp9 webm": Case("webm", "libvpx-vp9", 12, True, VP9),
}


def write_case(path: Path, case: Case, frames: Iterable[np.ndarray], pts: Iterable[int] | None = None) -> None:
    """Encode uint8 RGB frames at 25 fps, or at times `pts` in units of 1/25 s."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(case.codec, rate=25, options=case.options)
        stream.pix_fmt, stream.gop_size, stream.codec_context.thread_count = "yuv420p", case.gop, 1
        if case.tag:
            stream.codec_context.codec_tag = case.tag
        frames = list(frames)
        stream.height, stream.width = frames[0].shape[:2]
        for rgb, time in zip(frames, range(len(frames)) if pts is None else pts, strict=True):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def pack(source: Path, path: Path) -> None:
    """Rewrite an AVI with two B-frames between any two others as DivX does: the first of them in the packet before."""
    marks = b"\0\0\1\xb2DivX503b1393p\0\0\1\xb2XviD0046"
    not_coded = b"\0\0\1\xb6\x50\x00\x7f"
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        stream.codec_context.codec_tag = "XVID"
        packets = [bytes(packet) for packet in old.demux(video=0) if packet.size]
        packed = [packets[0].replace(b"\0\0\1\xb6", marks + b"\0\0\1\xb6", 1)]
        for at in range(1, len(packets) - 2, 3):
            packed += [packets[at] + packets[at + 1], packets[at + 2], not_coded]
        for number, content in enumerate(packed):
            packet = av.Packet(content)
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, number, number, Fraction(1, 25)
            packet.is_keyframe = number == 0
            new.mux(packet)


def cut_by_edit_list(source: Path, path: Path, frames: int) -> None:
    """Copy a file without B-frames, hiding its first frames by an edit list, as `ffmpeg -ss -c copy` does."""
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        step = round(1 / (25 * old.streams.video[0].time_base))
        for packet in old.demux(video=0):
            if packet.size:
                packet.pts, packet.dts, packet.stream = packet.pts - frames * step, packet.dts - frames * step, stream
                new.mux(packet)
