"""Which frames video readers return when asked for frames by number, and what a clip costs them on a CPU.

    python benchmarks/exactness.py

Every reader is asked for the same random clips of 16 frames. A frame is right if it is the frame of that number in
a decoding from the first frame to the last: nearer to it than to its 12 neighbours on either side, and within 2 grey
levels on average (decoders round differently). Frames that are not returned are wrong. Clips are read from files
generated with the ffmpeg program, and from real ones where DYNAMONET_CLIPS names a folder of ucf101, hmdb51 and
kinetics400. Readers that are not installed are left out: pip install decord opencv-python-headless.
"""

import os
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np

from dynamonet.data.check import check_video
from dynamonet.data.video import VideoInfo, decoded_frames, read_frames
from dynamonet.engine.device import cpu_name

FRAMES, CLIPS, SEED = 16, 16, 0
NEIGHBOURS, GREY_LEVELS = 12, 2.0

X264 = ("-c:v", "libx264", "-preset", "fast")
OPEN_GOP = ("-x264-params", "open-gop=1:bframes=3")
GENERATED = {  # row -> suffix and arguments of ffmpeg
    "H.264 mp4, GOP 250": ("mp4", (*X264,)),
    "H.264 mp4, GOP 24": ("mp4", (*X264, "-g", "24")),
    "H.264 mp4, as a prepared copy": ("mp4", (*X264, "-g", "8", "-bf", "0", "-tune", "fastdecode")),
    "H.264 mp4, open GOP": ("mp4", (*X264, "-g", "24", *OPEN_GOP)),
    "H.264 mp4, variable frame rate": (
        "mp4",
        (*X264, "-g", "24", "-vf", "select='lt(n,60)+not(mod(n,3))'", "-fps_mode", "vfr"),
    ),
    "H.264 mp4, cut by an edit list": ("mp4", ("-c", "copy")),
    "H.264 mkv": ("mkv", (*X264, "-g", "24")),
    "VP9 webm": ("webm", ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "40")),
    "XviD avi, no B-frames": ("avi", ("-c:v", "libxvid", "-bf", "0", "-g", "12", "-tag:v", "XVID")),
    "XviD avi, packed B-frames": ("avi", ("-c:v", "libxvid", "-bf", "2", "-g", "60", "-tag:v", "XVID")),
    "MPEG-4 avi, B-frames": ("avi", ("-c:v", "mpeg4", "-bf", "2", "-g", "12")),
}

Reader = Callable[[Path, VideoInfo, int], np.ndarray]


def counting(path: Path, info: VideoInfo, start: int) -> np.ndarray:
    return read_frames(path, range(start, start + FRAMES))


def ours(path: Path, info: VideoInfo, start: int) -> np.ndarray:
    return read_frames(path, range(start, start + FRAMES), info.clock)


def ours_torchcodec(path: Path, info: VideoInfo, start: int) -> np.ndarray:
    from dynamonet.data.torchcodec_reader import read_frames

    return read_frames(path, range(start, start + FRAMES), info.clock)


def pyav_seek(path: Path, info: VideoInfo, start: int) -> np.ndarray:
    """Seek to i / fps, then take the frames that are shown from there on."""
    frames = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        seconds = start / info.fps
        container.seek(round(seconds / stream.time_base), stream=stream)
        for frame in container.decode(stream):
            if frame.pts is not None and frame.time > seconds - 0.5 / info.fps:
                frames.append(frame.to_ndarray(format="rgb24"))
                if len(frames) == FRAMES:
                    break
    return np.stack(frames)


def pytorchvideo(path: Path, info: VideoInfo, start: int) -> np.ndarray:
    """From half a frame before to half a frame before the end: with exact times, rounding can lose a frame."""
    from pytorchvideo.data.encoded_video import EncodedVideo

    video = EncodedVideo.from_path(str(path), decode_audio=False, decoder="pyav")
    clip = video.get_clip(max(0.0, (start - 0.5) / info.fps), (start + FRAMES - 0.5) / info.fps)["video"]
    return clip.permute(1, 2, 3, 0).numpy()


def torchcodec(path: Path, info: VideoInfo, start: int, mode: str) -> np.ndarray:
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(str(path), dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode=mode)
    return decoder.get_frames_in_range(start, start + FRAMES).data.numpy()


def torchcodec_exact(path: Path, info: VideoInfo, start: int) -> np.ndarray:
    return torchcodec(path, info, start, "exact")


def torchcodec_approximate(path: Path, info: VideoInfo, start: int) -> np.ndarray:
    return torchcodec(path, info, start, "approximate")


def decord(path: Path, info: VideoInfo, start: int) -> np.ndarray:
    from decord import VideoReader

    return VideoReader(str(path), num_threads=1).get_batch(range(start, start + FRAMES)).asnumpy()


def opencv(path: Path, info: VideoInfo, start: int) -> np.ndarray:
    import cv2

    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    capture.set(cv2.CAP_PROP_POS_FRAMES, start)
    frames = [frame[..., ::-1] for found, frame in (capture.read() for _ in range(FRAMES)) if found]
    return np.stack(frames)


READERS: dict[str, tuple[Reader, str]] = {  # column -> reader and the module that it needs
    "ours": (ours, "av"),
    "ours, TorchCodec": (ours_torchcodec, "torchcodec"),
    "ours, counting": (counting, "av"),
    "PyAV, seek to i / fps": (pyav_seek, "av"),
    "pytorchvideo": (pytorchvideo, "pytorchvideo"),
    "TorchCodec exact": (torchcodec_exact, "torchcodec"),
    "TorchCodec approximate": (torchcodec_approximate, "torchcodec"),
    "decord": (decord, "decord"),
    "OpenCV": (opencv, "cv2"),
}


def pattern(frames: int = 240, height: int = 240, width: int = 320) -> Iterator[bytes]:
    """A texture that drifts past, so that no two frames are alike."""
    blocks = np.random.default_rng(SEED).integers(0, 256, (height // 8, width // 4, 3), np.uint8)
    texture = blocks.repeat(8, 0).repeat(8, 1)
    for number in range(frames):
        yield np.ascontiguousarray(np.roll(texture, 3 * number, axis=1)[:, :width]).tobytes()


def generated(folder: Path) -> Iterator[tuple[str, Path]]:
    ffmpeg = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-threads", "1"]
    raw = folder / "pattern.raw"
    raw.write_bytes(b"".join(pattern()))
    from_raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "320x240", "-r", "25", "-i", str(raw)]
    for number, (name, (suffix, arguments)) in enumerate(GENERATED.items()):
        path = folder / f"{number}.{suffix}"
        given = ["-ss", "1.1", "-i", str(folder / "0.mp4")] if "edit list" in name else from_raw
        pixels = [] if "edit list" in name else ["-pix_fmt", "yuv420p", "-threads", "1"]
        subprocess.run([*ffmpeg, *given, *arguments, *pixels, str(path)], check=True)
        yield name, path
    raw.unlink()


def real() -> Iterator[tuple[str, Path]]:
    root = Path(os.environ["DYNAMONET_CLIPS"])
    for folder, name in (("ucf101", "UCF101"), ("hmdb51", "HMDB51"), ("kinetics400", "Kinetics-400")):
        for path in sorted((root / folder).rglob("*.*")):
            if folder == "ucf101":
                kinds = {frame.pict_type for frame in decoded_frames(path)}
                yield f"{name}, {'packed' if av.video.frame.PictureType.B in kinds else 'no'} B-frames", path
            else:
                yield name, path


def right(frames: np.ndarray, wanted: int, truth: np.ndarray) -> int:
    """How many of `frames` are those from number `wanted` on; `truth` holds every frame, thinned out."""
    count = 0
    for number, frame in enumerate(thinned(frames[:FRAMES]), wanted):
        first = max(0, number - NEIGHBOURS)
        away = np.abs(truth[first : number + NEIGHBOURS + 1] - frame).mean(axis=(1, 2, 3))
        count += bool(away[number - first] == away.min() and away.min() < GREY_LEVELS)
    return count


def thinned(frames: np.ndarray) -> np.ndarray:
    """Every fourth pixel of every fourth line, to be subtracted."""
    return frames[:, ::4, ::4].astype(np.int16)


def compared(path: Path, readers: dict[str, Reader]) -> dict[str, tuple[float, float]]:
    """For each reader the right fraction of the frames asked for, and CPU milliseconds per clip."""
    info = check_video(path)
    truth = thinned(read_frames(path, range(info.frames)))
    starts = np.random.default_rng(SEED).integers(0, info.frames - FRAMES + 1, CLIPS)
    results = {}
    for name, read in readers.items():
        found, seconds = 0, []
        for start in starts.tolist():
            began = time.process_time()
            try:
                frames = read(path, info, start)
            except Exception:  # whatever it raises, it does not give the frames
                continue
            seconds.append(time.process_time() - began)
            found += right(frames, start, truth)
        results[name] = found / (FRAMES * CLIPS), 1e3 * float(np.median(seconds)) if seconds else np.nan
    return results


def main() -> None:
    readers = {name: read for name, (read, module) in READERS.items() if find_spec(module)}
    rows, files = defaultdict(list), defaultdict(int)
    with tempfile.TemporaryDirectory() as folder:
        sources = [*generated(Path(folder)), *(real() if os.environ.get("DYNAMONET_CLIPS") else ())]
        for source, path in sources:
            rows[source].append(compared(path, readers))
            files[source] += 1
    for title, column, form in (("## Right frames\n", 0, "{:.2f}"), ("\n## CPU, ms per clip\n", 1, "{:.1f}")):
        print(title)
        print("| source | files | " + " | ".join(readers) + " |")
        print("|---|---|" + "---|" * len(readers))
        for source, results in rows.items():
            cells = [form.format(np.nanmean([each[name][column] for each in results])) for name in readers]
            print(f"| {source} | {files[source]} | " + " | ".join(cells) + " |")
    packages = ("av", "torchcodec", "pytorchvideo", "decord", "opencv-python-headless")
    print(f"\n{cpu_name()}; " + ", ".join(f"{name} {release(name)}" for name in packages))


def release(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    main()
