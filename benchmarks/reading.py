"""What a sample costs: our data sets beside pytorchvideo's LabeledVideoDataset, on files as shipped and on copies.

    python benchmarks/reading.py FOLDER [--rounds 5]      # FOLDER: real videos, in folders named kinetics400, ucf101, …

A training sample is a random 16-frame clip, multi-scale crop to 112 pixels, flip; pytorchvideo's is its data set with
its usual float transforms (temporal subsampling, scaling to [0, 1], normalisation, random short side of 128 to 160,
crop, flip). An evaluation sample is a video's ten centre views. Every round takes the same number of samples of each,
one after the other, so that whatever else the machine does falls on all alike; the figure is CPU time, of all threads,
and ratios are medians of the rounds' ratios. The floor is what decoding cannot do without: opening the file and
decoding from the key frame before a clip to its end what the clip's frames refer to, without conversion, for the clips
of our own sample.
"""

import argparse
import os
import resource
import statistics
import sys
import tempfile
import threading
import time
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path

# Before torch is imported: one thread, as in a loader process.
os.environ["OMP_NUM_THREADS"] = "1"

import av
import pandas as pd
import torch
from torch.utils.data import DataLoader

from dynamonet.data import clips as clips_module
from dynamonet.data.check import check_video
from dynamonet.data.clips import ClipShape, EvalClips, TrainClips
from dynamonet.data.copies import make_copy
from dynamonet.data.copy_recipe import CopyRecipe
from dynamonet.data.crop import training_box
from dynamonet.data.device_batch import collate
from dynamonet.data.sampling import generator, random_clip
from dynamonet.data.seeking import FrameClock, SeekingDecoder
from dynamonet.data.video import UNPROBED, opened
from dynamonet.engine.device import device_name
from dynamonet.recipe import Recipe

SUFFIXES = (".avi", ".mp4")
SHAPE = ClipShape(frames=16, stride=1, crop=112)
RECIPE = Recipe(
    steps=1, batch_size=2, learning_rate=1.0, crop="corners", crop_scales=(1.0, 0.84, 0.71, 0.59, 0.5), flip=True
)
VIEWS = 10
MEMORY_SAMPLES = 10000


def rows_of(paths: list[Path], root: Path) -> pd.DataFrame:
    """The columns of a manifest that samples need."""
    rows = []
    for path in paths:
        info = check_video(path)
        first_pts, step = info.clock or (0, 0)
        size = dict(frames=info.frames, height=info.height, width=info.width, file_bytes=path.stat().st_size)
        file = str(path.relative_to(root))
        rows.append(dict(id=file, file=file, path=file, class_index=0, first_pts=first_pts, pts_step=step, **size))
    return pd.DataFrame(rows)


def copied(paths: list[Path], rows: pd.DataFrame, root: Path, folder: Path, short_side: int) -> pd.DataFrame:
    for path, frames in zip(paths, rows["frames"], strict=True):
        out = folder / f"{path.relative_to(root)}.mp4"
        out.parent.mkdir(parents=True, exist_ok=True)
        make_copy(path, out, CopyRecipe(short_side=short_side, crf=20), frames)
    return rows_of([folder / f"{path.relative_to(root)}.mp4" for path in paths], folder)


def ours(rows: pd.DataFrame, root: Path) -> Callable[[int], None]:
    clips = TrainClips(rows, root, SHAPE, 0, box=training_box(RECIPE, SHAPE.crop), flip=True)
    return lambda number: clips[number // len(rows), number % len(rows)]


def ours_ten_views(rows: pd.DataFrame, root: Path) -> Callable[[int], None]:
    clips = EvalClips(rows, root, SHAPE, VIEWS, 1)
    return lambda number: clips[number % len(rows)]


def floor(rows: pd.DataFrame, root: Path) -> Callable[[int], None]:
    """Opens, seeks and decodes what our sample of that number needs, and nothing else."""
    videos = rows.to_dict("records")

    def decode(number: int) -> None:
        epoch, row = divmod(number, len(videos))
        video = videos[row]
        clip = random_clip(video["frames"], SHAPE.frames, SHAPE.stride, generator(0, epoch, video["id"], "clip"))
        if not video["pts_step"]:
            with opened(root / video["file"]) as stream:
                decoded = stream.container.decode(stream)
                for _ in range(clip.max() + 1):
                    next(decoded)
            return
        with opened(root / video["file"], **UNPROBED) as stream:
            decoder = SeekingDecoder(stream, FrameClock(video["first_pts"], video["pts_step"]))
            for frame in sorted(set(clip.tolist())):
                decoder.frame(frame)

    return decode


def theirs(rows: pd.DataFrame, root: Path, views: int | None = None) -> Callable[[int], None]:
    """pytorchvideo's data set over the same files; views: that many, evenly, in the place of one at random."""
    from torchvision.transforms import _functional_tensor

    # pytorchvideo imports a module that torchvision has renamed.
    sys.modules.setdefault("torchvision.transforms.functional_tensor", _functional_tensor)
    from pytorchvideo.data import LabeledVideoDataset, make_clip_sampler
    from pytorchvideo.transforms import (
        ApplyTransformToKey,
        Normalize,
        RandomShortSideScale,
        ShortSideScale,
        UniformTemporalSubsample,
    )
    from torchvision.transforms import CenterCrop, Compose, Lambda, RandomCrop, RandomHorizontalFlip

    spatial = (
        [ShortSideScale(128), CenterCrop(112)]
        if views
        else [RandomShortSideScale(128, 160), RandomCrop(112), RandomHorizontalFlip()]
    )
    transform = ApplyTransformToKey(
        "video",
        Compose(
            [
                UniformTemporalSubsample(SHAPE.frames),
                Lambda(lambda video: video / 255),
                Normalize((0.45,) * 3, (0.225,) * 3),
                *spatial,
            ]
        ),
    )
    seconds = SHAPE.frames / 30
    sampler = make_clip_sampler("constant_clips_per_video", seconds, views) if views else None
    dataset = LabeledVideoDataset(
        [(str(root / file), {"label": 0}) for file in rows["file"]],
        sampler or make_clip_sampler("random", seconds),
        torch.utils.data.SequentialSampler,
        transform=transform,
        decode_audio=False,
    )
    state = types.SimpleNamespace(samples=iter(()))

    def sample(number: int) -> None:
        for _ in range(views or 1):
            try:
                next(state.samples)
            except StopIteration:
                state.samples = iter(dataset)
                next(state.samples)

    return sample


def cpu_ms(sample: Callable[[int], None], first: int, count: int) -> float:
    began = time.process_time()
    for number in range(first, first + count):
        sample(number)
    return 1e3 * (time.process_time() - began) / count


def compare(cases: dict[str, Callable[[int], None]], count: int, rounds: int) -> dict[str, tuple[float, float]]:
    """Case -> median CPU ms of a sample, and how many times the first case takes as long."""
    for sample in cases.values():
        cpu_ms(sample, 0, count)
    times = {name: [] for name in cases}
    for number in range(rounds):
        for name, sample in cases.items():
            times[name].append(cpu_ms(sample, count * (number + 1), count))
    first = next(iter(times.values()))
    return {
        name: (statistics.median(own), statistics.median(a / b for a, b in zip(first, own, strict=True)))
        for name, own in times.items()
    }


def memory(sample: Callable[[int], None]) -> list[float]:
    """Resident MiB after each fifth of the samples."""
    levels = []
    for number in range(MEMORY_SAMPLES):
        sample(number)
        if (number + 1) % (MEMORY_SAMPLES // 5) == 0:
            status = Path("/proc/self/statm").read_text().split()
            levels.append(int(status[1]) * resource.getpagesize() / 2**20)
    return levels


class _Counted(TrainClips):
    """Gives the number of threads of the process that makes a sample, in the sample's place."""

    def __getitem__(self, index):
        super().__getitem__(index)
        tasks = len(list(Path("/proc/self/task").iterdir()))
        return torch.tensor([tasks, torch.get_num_threads(), threading.active_count()])


def loader_threads(rows: pd.DataFrame, root: Path) -> tuple[int, int]:
    """Of a loader process: threads that exist at most, and torch's own number."""
    clips = _Counted(rows, root, SHAPE, 0, box=training_box(RECIPE, SHAPE.crop), flip=True)
    indices = [(0, number % len(rows)) for number in range(64)]
    found = torch.stack(list(DataLoader(clips, batch_size=None, sampler=indices, num_workers=2)))
    return int(found[:, 0].max()), int(found[:, 1].max())


def loaded_clips_per_s(rows: pd.DataFrame, root: Path, count: int) -> float:
    """Clips per second of wall-clock time out of a loader with two processes, batches of 8."""
    clips = TrainClips(rows, root, SHAPE, 0, box=training_box(RECIPE, SHAPE.crop), flip=True)
    indices = [(number // len(rows), number % len(rows)) for number in range(count)]
    loader = DataLoader(clips, batch_size=8, sampler=indices, num_workers=2, collate_fn=collate)
    batches = iter(loader)
    next(batches)
    began = time.perf_counter()
    done = sum(len(batch["row"]) for batch in batches)
    return done / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    clips_module.CACHE_BYTES = 0  # a real data set is decoded again in each epoch
    torch.set_num_threads(1)
    print(
        f"{device_name(torch.device('cpu'))}; torch {torch.__version__}, PyAV {av.__version__}; {options.rounds} rounds"
    )
    with tempfile.TemporaryDirectory() as temporary:
        for dataset in ("kinetics400", "ucf101", "hmdb51"):
            paths = sorted(path for path in (options.folder / dataset).rglob("*") if path.suffix in SUFFIXES)
            if not paths:
                print(f"\n{dataset}: no videos in {options.folder}")
                continue
            measure(dataset, paths, options.folder, Path(temporary), options.rounds)


def measure(dataset: str, paths: list[Path], root: Path, temporary: Path, rounds: int) -> None:
    shipped = rows_of(paths, root)
    sides = (256, 128) if dataset == "kinetics400" else (240, 128)
    copies = {
        side: (copied(paths, shipped, root, temporary / str(side), side), temporary / str(side)) for side in sides
    }
    sources = {"as shipped": (shipped, root), **{f"copies, short side {side}": of for side, of in copies.items()}}
    count = 4 * len(paths)
    for title, make, reference, samples in (
        ("training sample", ours, theirs, count),
        (f"{VIEWS} views of a video", ours_ten_views, partial(theirs, views=VIEWS), len(paths)),
    ):
        cases = {"pytorchvideo, as shipped": reference(shipped, root)}
        cases |= {name: make(*of) for name, of in sources.items()}
        if make is ours:
            cases |= {f"floor, {name}": floor(*of) for name, of in sources.items()}
        print(
            f"\n{dataset}, {len(paths)} videos: CPU ms of a {title}\n\n| case | CPU ms | pytorchvideo's time / this |"
        )
        print("|---|---|---|")
        for name, (ms, ratio) in compare(cases, samples, rounds).items():
            print(f"| {name} | {ms:.2f} | {ratio:.1f} |", flush=True)
    if dataset == "kinetics400":
        small = copies[128]
        levels = ", ".join(f"{level:.0f}" for level in memory(ours(*small)))
        print(f"\nResident MiB over {MEMORY_SAMPLES} samples, after each fifth: {levels}")
        tasks, own = loader_threads(*small)
        print(f"Threads of each of 2 loader processes: at most {tasks}, of which torch computes with {own}")
        print(f"Clips/s out of 2 loader processes, copies of short side 128: {loaded_clips_per_s(*small, 1600):.0f}")


if __name__ == "__main__":
    main()
