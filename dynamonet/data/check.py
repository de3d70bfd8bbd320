"""One strict decoding of a whole file: what it holds, and whether it may be read from the middle.

FFmpeg conceals damage, and ends a file that is cut short without a word. Here both are errors, as far as the decoder
tells of them; so are files cut between two frames, which `ffmpeg -xerror -err_detect explode` takes for whole. Of 120
copies of five real clips, damaged at random (noise, zeros, cut), that command refuses 91 in version 5.1, and this check
90 of them with libavcodec 62, which conceals zeros in one H.264 file without an error or a flag. Both take the other 29
for whole: noise can be a valid picture, and what ends a file is often its index alone.
"""

import zlib
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter

from dynamonet.data.seeking import FrameClock, OffClock, SeekingDecoder
from dynamonet.data.video import (
    PYAV_ERRORS,
    UNPROBED,
    VideoError,
    VideoInfo,
    in_short,
    opened,
    quarter_turns,
    upright_rgb,
)

EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"

COMPARED_FRAMES = 4
"""So many frames from each key frame on are compared with those decoded after a seek to it."""


def check_video(path: Path) -> VideoInfo:
    """Decode the whole file, then the frames from each key frame on once more, after a seek to it.

    Raises VideoError for a file that is no video, holds no frame, is damaged or cut short, or changes its frame size.
    """
    seen = _decode_all(path)
    clock = _regular_clock(seen)
    if clock is not None and not _seeks_exactly(path, clock, seen):
        clock = None
    return VideoInfo(len(seen.frame_pts), *seen.size, seen.fps, _duration_s(seen), clock)


@dataclass
class _Seen:
    """What decoding a file from end to end has shown. Time stamps are in units of `time_base`, None where missing."""

    format: str
    """FFmpeg's name of the container."""
    time_base: Fraction
    fps: float
    size: tuple[int, int] | None = None
    """Width and height in pixels, after rotation."""
    b_frames: bool = False
    packets: int = 0
    key_pts: set[int | None] = field(default_factory=set)
    frame_pts: list[int | None] = field(default_factory=list)
    checksums: dict[int, int] = field(default_factory=dict)
    """By frame number: of the pictures from each key frame on."""


def _decode_all(path: Path) -> _Seen:
    with opened(path) as stream:
        seen = _Seen(stream.container.format.name, stream.time_base, float(stream.average_rate or 0))
        reformatter, to_compare = VideoReformatter(), 0
        try:
            for packet in stream.container.demux(stream):
                _add_packet(seen, packet)
                for frame in packet.decode():
                    is_start = not seen.frame_pts or frame.pts in seen.key_pts
                    to_compare = COMPARED_FRAMES if is_start else to_compare - 1
                    if to_compare > 0:
                        seen.checksums[len(seen.frame_pts)] = _checksum(frame, reformatter)
                    _add_frame(seen, frame, path)
        except PYAV_ERRORS as error:
            raise VideoError(path, f"is damaged after {len(seen.frame_pts)} frames ({in_short(error)})") from error
        _refuse_cut(path, seen.packets, len(stream.index_entries), stream.frames)
    if not seen.frame_pts:
        raise VideoError(path, "holds no frame")
    return seen


def _add_packet(seen: _Seen, packet: av.Packet) -> None:
    if packet.is_corrupt:
        raise ValueError("a packet is incomplete")
    if packet.size == 0:
        return  # the end of the file, at which the decoder gives what it still holds
    seen.packets += 1
    if packet.is_keyframe:
        seen.key_pts.add(packet.pts)


def _add_frame(seen: _Seen, frame: av.VideoFrame, path: Path) -> None:
    if frame.is_corrupt:
        raise ValueError("a frame is incomplete")
    size = (frame.width, frame.height)[:: -1 if quarter_turns(frame) % 2 else 1]
    if seen.size not in (None, size):
        raise VideoError(path, "changes its frame size")
    seen.size = size
    seen.b_frames |= frame.pict_type == PictureType.B
    seen.frame_pts.append(frame.pts)


def _checksum(frame: av.VideoFrame, reformatter: VideoReformatter) -> int:
    return zlib.crc32(np.ascontiguousarray(upright_rgb(frame, reformatter)))


def _refuse_cut(path: Path, packets: int, indexed: int, listed: int) -> None:
    """`indexed` and `listed`: packets by the file's index and by its header, 0 where there is none.

    The header alone proves nothing: it can count dropped frames, which an AVI file holds as empty chunks, and frames
    that the encoder never wrote.
    """
    with path.open("rb") as file:
        head = file.read(4096)
        missing_bytes = _announced_bytes(head) - path.stat().st_size
    if packets < indexed or (missing_bytes > 0 and (packets < listed or head.startswith(EBML))):
        of = f" of {max(indexed, listed)}" if max(indexed, listed) > packets else ""
        raise VideoError(path, f"is cut short: it holds {packets}{of} frames")


def _announced_bytes(head: bytes) -> int:
    """Size of an AVI or Matroska file according to its first bytes, 0 if they do not tell."""
    if head.startswith(b"RIFF"):
        return 8 + int.from_bytes(head[4:8], "little")
    if head.startswith(EBML):
        size, start = _ebml_size(head, 4)
        segment = start + size
        if head[segment : segment + 4] == SEGMENT:
            size, start = _ebml_size(head, segment + 4)
            return start + size
    return 0


def _ebml_size(head: bytes, at: int) -> tuple[int, int]:
    """The size of an EBML element (RFC 8794, section 6) written at `at`, and where its content starts; 0: unknown."""
    length = 9 - head[at].bit_length()
    size = int.from_bytes(head[at : at + length], "big") - (1 << 7 * length)
    return (0 if size == (1 << 7 * length) - 1 else size), at + length


def _regular_clock(seen: _Seen) -> FrameClock | None:
    pts = seen.frame_pts
    # AVI stores no time stamps. With B-frames each version of FFmpeg makes up its own.
    if len(pts) < 2 or None in pts or (seen.format == "avi" and seen.b_frames):
        return None
    first, step = pts[0], pts[1] - pts[0]
    return FrameClock(first, step) if step > 0 and pts == list(range(first, pts[-1] + 1, step)) else None


def _seeks_exactly(path: Path, clock: FrameClock, seen: _Seen) -> bool:
    """Whether a seek to every key frame leads there, and on to the frames of the full decoding."""
    keys = {clock.number(pts) for pts in seen.key_pts.intersection(seen.frame_pts)}
    reformatter = VideoReformatter()
    with opened(path, **UNPROBED) as stream:  # as it will be read
        decoder = SeekingDecoder(stream, clock)
        try:
            for start in sorted({0} | keys):
                # An edit list can hide the key frame from which the first frame shown is decoded.
                if decoder.seek(start) != start and start in keys:
                    return False
                for number in range(start, min(start + COMPARED_FRAMES, len(seen.frame_pts))):
                    if _checksum(decoder.frame(number), reformatter) != seen.checksums[number]:
                        return False
        except (OffClock, *PYAV_ERRORS):
            return False
    return True


def _duration_s(seen: _Seen) -> float:
    pts, frames = seen.frame_pts, len(seen.frame_pts)
    if frames > 1 and None not in pts and all(before < after for before, after in pairwise(pts)):
        return float((pts[-1] - pts[0]) * seen.time_base * frames / (frames - 1))
    return frames / seen.fps if seen.fps else 0.0
