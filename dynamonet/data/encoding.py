"""Video files with bytes that depend on the frames alone: no dates, no library versions, one thread."""

from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from dynamonet.files import atomic_path

MPEG4 = {"flags": "+bitexact+qscale", "global_quality": str(3 * 118)}  # quantiser 3 in FFmpeg's lambda units

H264 = {
    "flags": "+bitexact",
    "crf": "18",
    "preset": "veryfast",
    # x264's macroblock tree gives small frames (80 x 64) other bytes at every run, with one thread too.
    "x264-params": "mbtree=0:cpu-independent=1",
}

CODECS = {
    # Kinetics as downloaded.
    "h264": dict(name="libx264", tag=None, gop=250, options=H264),
    # UCF101: XviD, a key frame every 12, no B-frames.
    "xvid": dict(name="mpeg4", tag="XVID", gop=12, options=MPEG4 | {"bf": "0"}),
    # HMDB51: DX50 with B-frames in AVI, which stores no presentation times.
    "dx50": dict(name="mpeg4", tag="DX50", gop=250, options=MPEG4 | {"bf": "2"}),
}
"""The codecs of the three benchmarks."""


def encode(path: Path, frames: Iterable[np.ndarray], codec: str, fps: int) -> None:
    """Write uint8 RGB frames (H, W, 3), sides even, as one video file, atomically."""
    settings = CODECS[codec]
    reformatter = VideoReformatter()
    bitexact = {"fflags": "+bitexact"}
    with atomic_path(path) as temporary, av.open(str(temporary), "w", options=bitexact) as container:
        stream = container.add_stream(settings["name"], rate=fps, options=settings["options"])
        stream.pix_fmt = "yuv420p"
        stream.gop_size = settings["gop"]
        stream.codec_context.thread_count = 1
        if settings["tag"]:
            stream.codec_context.codec_tag = settings["tag"]
        for number, rgb in enumerate(frames):
            if number == 0:
                stream.height, stream.width = rgb.shape[:2]
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            container.mux(stream.encode(reformatter.reformat(frame, format="yuv420p", threads=1)))
        container.mux(stream.encode())
