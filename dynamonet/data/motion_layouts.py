"""Writes the embedded motion set in the layouts of the benchmarks that it stands in for.

`kinetics400/` (H.264 in MP4), `ucf101/` (XviD in AVI, groups that share an appearance), `hmdb51/` (MPEG-4
with B-frames in AVI) and `pool/` (unlabelled), so that the same code reads the toy and the real data.
"""

import base64
import hashlib
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dynamonet.data.encoding import encode
from dynamonet.data.motion import CLASSES, IDENTITY, MotionConfig, render
from dynamonet.data.sampling import generator
from dynamonet.errors import UserError
from dynamonet.files import read_json, write_json, write_text

COMPLETE = "complete.json"
"""That all of the set is there: removing this one has the files checked."""
FORMAT = 1
"""Raised whenever the same config gives other files."""
HMDB_CLASSES = CLASSES[:10]
UCF_TEST_SHARE = 7, 25
"""Test groups of each split, of all groups, as in UCF101."""


@dataclass(frozen=True)
class Clip:
    path: str
    """Relative to the root of the set."""
    class_name: str
    appearance: tuple
    movement: tuple
    codec: str


def generate(
    config: MotionConfig, root: Path, workers: int = 1, progress: Callable[[int, int], None] | None = None
) -> None:
    """Write the whole set under `root`; the same config gives the same bytes.

    A call that was interrupted goes on where it stopped, a finished set is left alone. Raises UserError if
    the root holds another set or other files.
    """
    root = Path(root)
    identity = dict(format=FORMAT, config=config.model_dump())
    _refuse_another(root, identity)
    if (root / COMPLETE).exists():
        return
    write_json(root / IDENTITY, identity)
    clips, lists = plan(config)
    missing = [clip for clip in clips if not (root / clip.path).exists()]
    for done, _ in enumerate(_written(missing, config, root, workers), start=1):
        if progress:
            progress(done, len(missing))
    for path, text in lists.items():
        write_text(root / path, text)
    write_json(root / COMPLETE, dict(videos=len(clips)))


def plan(config: MotionConfig) -> tuple[list[Clip], dict[str, str]]:
    """Every clip of the set, and the text of every list by its path."""
    clips: list[Clip] = []
    lists: dict[str, str] = {}
    for layout in (_kinetics, _ucf, _hmdb):
        layout(config, clips, lists)
    for number in range(config.pool_videos):
        path = f"pool/videos/clip_{number:06d}.mp4"
        class_name = CLASSES[generator(config.seed, path, "class").integers(len(CLASSES))]
        clips.append(Clip(path, class_name, (path,), (path,), "h264"))
    return clips, lists


def _refuse_another(root: Path, identity: dict) -> None:
    if (root / IDENTITY).exists():
        if read_json(root / IDENTITY) != identity:
            raise UserError(f"{root / IDENTITY} is another motion set; remove {root} or choose another root.")
    # A hidden file may be what a killed writer left.
    elif any(not path.name.startswith(".") for path in root.glob("*")):
        raise UserError(f"{root} holds other files than a motion set; choose another root.")


def _written(clips: list[Clip], config: MotionConfig, root: Path, workers: int) -> Iterator[None]:
    write = partial(_write_clip, config=config, root=root)
    if workers == 1:
        yield from map(write, clips)
        return
    # Read by the linear algebra library when a worker starts: workers with threads of their own get in each
    # other's way.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(write, clips, chunksize=8)


def _write_clip(clip: Clip, config: MotionConfig, root: Path) -> None:
    frames = render(clip.class_name, config, clip.appearance, clip.movement)
    encode(root / clip.path, frames, clip.codec, config.fps)


def _kinetics(config: MotionConfig, clips: list[Clip], lists: dict[str, str]) -> None:
    for folder, file, count in (
        ("train", "train", config.kinetics_train_per_class),
        ("val", "validate", config.kinetics_val_per_class),
    ):
        lines = ["label,youtube_id,time_start,time_end,split\n"]
        for label in CLASSES:
            for number in range(count):
                key = "kinetics400", folder, label, number
                youtube_id = _youtube_id(config.seed, *key)
                start = int(generator(config.seed, *key, "start").integers(300))
                path = f"kinetics400/{folder}/{label}/{youtube_id}_{start:06d}_{start + 10:06d}.mp4"
                clips.append(Clip(path, label, key, key, "h264"))
                lines.append(f"{label},{youtube_id},{start},{start + 10},{folder}\n")
        lists[f"kinetics400/annotations/{file}.csv"] = "".join(lines)


def _youtube_id(*key: object) -> str:
    """Eleven characters that look like the real ones."""
    return base64.urlsafe_b64encode(hashlib.sha256(repr(key).encode()).digest())[:11].decode()


def _ucf(config: MotionConfig, clips: list[Clip], lists: dict[str, str]) -> None:
    folder = "ucf101/ucfTrainTestlist"
    names = [label.title().replace(" ", "") for label in CLASSES]
    numbered = "".join(f"{number} {name}\r\n" for number, name in enumerate(names, start=1))
    lists[f"{folder}/classInd.txt"] = numbered
    share, of = UCF_TEST_SHARE
    test_groups = max(1, config.ucf_groups * share // of)
    lines = {f"{part}list{split:02d}": [] for split in (1, 2, 3) for part in ("train", "test")}
    for class_number, (label, name) in enumerate(zip(CLASSES, names, strict=True), start=1):
        for group in range(config.ucf_groups):
            appearance = "ucf101", label, group
            for number in range(config.ucf_clips_per_group):
                file = f"{name}/v_{name}_g{group + 1:02d}_c{number + 1:02d}.avi"
                clips.append(Clip(f"ucf101/UCF-101/{file}", label, appearance, (*appearance, number), "xvid"))
                for split in (1, 2, 3):
                    if group // test_groups == split - 1:
                        lines[f"testlist{split:02d}"].append(f"{file}\r\n")
                    else:
                        lines[f"trainlist{split:02d}"].append(f"{file} {class_number}\r\n")
    lists.update((f"{folder}/{list_name}.txt", "".join(text)) for list_name, text in lines.items())


def _hmdb(config: MotionConfig, clips: list[Clip], lists: dict[str, str]) -> None:
    counts = config.hmdb_unused_per_class, config.hmdb_train_per_class, config.hmdb_test_per_class
    flags = [flag for flag, count in enumerate(counts) for _ in range(count)]
    for label in HMDB_CLASSES:
        name = label.replace(" ", "_")
        files = [f"synthetic_{name}_f_cm_np1_fr_goo_{number}.avi" for number in range(len(flags))]
        for number, file in enumerate(files):
            key = "hmdb51", label, number
            clips.append(Clip(f"hmdb51/hmdb51_org/{name}/{file}", label, key, key, "dx50"))
        for split in (1, 2, 3):
            order = generator(config.seed, "hmdb51", label, split, "flags").permutation(len(flags))
            text = "".join(f"{file} {flags[place]} \n" for file, place in zip(files, order, strict=True))
            lists[f"hmdb51/testTrainMulti_7030_splits/{name}_test_split{split}.txt"] = text
