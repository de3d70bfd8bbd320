"""Frames by number from the middle of a file, where its time stamps and key frames have been shown to be exact."""

from typing import NamedTuple

import av

SKIPPING_CODECS = ("h264", "mpeg4")
"""Codecs that mark a frame as no reference only if no other frame needs it. HEVC's marks hold for one layer."""

SEEK_FRAMES = 2
"""A seek costs about as much as decoding so many frames."""


class OffClock(Exception):
    """A file in which the clock given with it does not hold."""


class FrameClock(NamedTuple):
    """Frame n has the time stamp `first_pts + n * step`, in the stream's time base, and seeking is exact."""

    first_pts: int
    step: int

    def pts(self, number: int) -> int:
        return self.first_pts + number * self.step

    def number(self, pts: int | None) -> int:
        """Raises OffClock for a time stamp that no frame has."""
        if pts is None or (pts - self.first_pts) % self.step:
            raise OffClock
        return (pts - self.first_pts) // self.step


class SeekingDecoder:
    """Frames of a stream by number, in ascending order. Raises OffClock or PyAV's errors rather than give another."""

    def __init__(self, stream: av.VideoStream, clock: FrameClock):
        self.stream, self.clock = stream, clock
        self.context = stream.codec_context
        self.can_skip = self.context.name in SKIPPING_CODECS
        self.skipping = False
        self.packets = stream.container.demux(stream)
        self.last_dts: int | None = None  # of the packets decoded so far
        self.decoded: list[av.VideoFrame] = []

    def frame(self, number: int) -> av.VideoFrame:
        """Frame `number`, which comes after the one given before."""
        found = self._take(number)
        if found is None and self._seek_pays(number):
            self.seek(number)
            found = self._take(number)
        while found is None:
            packet = next(self.packets, None)
            if packet is None:
                raise OffClock  # the file is shorter
            self._decode(packet, number)
            found = self._take(number)
        return found

    def seek(self, number: int) -> int:
        """Go on at the last key frame that is shown at or before frame `number`; return its number."""
        pts = self.clock.pts(number)
        target = pts
        while True:
            self.stream.container.seek(target, stream=self.stream)
            self.packets = self.stream.container.demux(self.stream)
            first = next(self.packets, None)
            if first is None or not first.is_keyframe or first.pts is None:
                raise OffClock
            if first.pts <= pts:
                break
            # Containers search in decoding order, in which a frame can follow a key frame that is shown later.
            before = (first.pts if first.dts is None else first.dts) - 1
            if before >= target:
                raise OffClock
            target = before
        self._decode(first, number)
        return self.clock.number(first.pts)

    def _seek_pays(self, number: int) -> bool:
        if self.last_dts is None:
            return number > SEEK_FRAMES  # some containers read their index at the first seek
        entries = self.stream.index_entries
        place = entries.search_timestamp(self.clock.pts(number))
        return place >= 0 and entries[place].timestamp > self.last_dts + SEEK_FRAMES * self.clock.step

    def _decode(self, packet: av.Packet, number: int) -> None:
        skip = self.can_skip and packet.pts is not None and packet.pts < self.clock.pts(number)
        if skip != self.skipping:
            self.context.skip_frame = "NONREF" if skip else "DEFAULT"
            self.skipping = skip
        self.decoded = packet.decode()
        if packet.dts is not None:
            self.last_dts = packet.dts

    def _take(self, number: int) -> av.VideoFrame | None:
        """Frame `number` if it is among those decoded last; those before it are dropped."""
        while self.decoded:
            at = self.clock.number(self.decoded[0].pts)
            if at > number:
                raise OffClock
            frame = self.decoded.pop(0)
            if at == number:
                return frame
        return None
