"""What a data set costs that is known already: its lists read, prepared again, its manifest loaded.

    python benchmarks/preparation.py --videos 25000 250000

The data sets are Kinetics-400 by their lists and folders: 400 classes, one video in ten in validation. Files are empty,
and a ledger says that each was checked, as it would after a first preparation, so that what is left is what every later
one does: read the lists, find the files in their folders, ask each for its size and time of change, look it up in the
ledger, write the manifest. Beside it stand what cannot be left out: the status of every file, and the bare table of the
manifest as pandas reads it. Figures are CPU time, of all threads; TMPDIR chooses the file system.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

# Before numpy is imported.
os.environ["OMP_NUM_THREADS"] = "1"

import pandas as pd

from dynamonet.data.checking import FACTS, facts_key, stamp
from dynamonet.data.ledger import Ledger
from dynamonet.data.listing import fingerprint, read_listing
from dynamonet.data.manifest import Manifest
from dynamonet.data.preparation import prepare
from dynamonet.engine.device import cpu_name
from dynamonet.files import sha256_text

LAYOUT = "kinetics400"
CLASSES = 400
CHECKED = FACTS | dict(frames=300, width=340, height=256, fps=30.0, duration_s=10.0, pts_step=512)
TITLES = ("videos", "lists", "fingerprint", "prepared again", "status of every file", "manifest loaded", "table alone")


def write_dataset(root: Path, checked: Path, videos: int) -> None:
    """Lists, empty files and a ledger that knows all of them."""
    with Ledger(checked, LAYOUT, root) as ledger:
        for part, share in (("train", range(videos // 10, videos)), ("val", range(videos // 10))):
            lines = ["label,youtube_id,time_start,time_end,split\n"]
            for name in range(CLASSES):
                (root / part / f"class {name}").mkdir(parents=True)
            for number in share:
                label = f"class {number % CLASSES}"
                path = f"{part}/{label}/{number:011d}_000001_000011.mp4"
                (root / path).touch()
                known = CHECKED | dict(sha256=sha256_text(path), status="ok", reason="", decoder="PyAV")
                ledger.write(facts_key(path, stamp(root / path)), known)
                lines.append(f"{label},{number:011d},1,11,{part}\n")
            (root / "annotations").mkdir(exist_ok=True)
            (root / f"annotations/{part}.csv").write_text("".join(lines))


def cpu_s(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def measure(folder: Path, videos: int) -> list[float]:
    """CPU seconds in the order of TITLES."""
    root, checked, out = (folder / f"{name}-{videos}" for name in ("root", "checked", "manifest.parquet"))
    write_dataset(root, checked, videos)
    paths = [root / video.path for video in read_listing(LAYOUT, root).videos]
    assert len(paths) == videos

    def prepare_again() -> None:
        counts = prepare(LAYOUT, root, out, checked=checked, announce=lambda text: None)
        assert (counts["decodable"], counts["looked_at"]) == (videos, 0)

    return [
        cpu_s(lambda: read_listing(LAYOUT, root)),
        cpu_s(lambda: fingerprint(LAYOUT, root)),
        cpu_s(prepare_again),
        cpu_s(lambda: [path.stat() for path in paths]),
        cpu_s(lambda: Manifest.load(out)),
        cpu_s(lambda: pd.read_parquet(out)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--videos", type=int, nargs="+", default=[25_000, 250_000])
    options = parser.parse_args()
    print(f"{cpu_name()}, 1 thread; CPU seconds\n")
    print(f"| {' | '.join(TITLES)} |\n|{'---|' * len(TITLES)}")
    with tempfile.TemporaryDirectory(prefix="preparation-") as folder:
        for videos in options.videos:
            seconds = measure(Path(folder), videos)
            print(f"| {videos:,} | {' | '.join(f'{one:.2f}' for one in seconds)} |", flush=True)


if __name__ == "__main__":
    main()
