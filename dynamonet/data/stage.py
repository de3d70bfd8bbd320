"""The prepare stage: manifest, record and report of one data set."""

import resource
import sys
from functools import partial
from pathlib import Path

from dynamonet.data.listing import read_listing
from dynamonet.data.manifest import Manifest
from dynamonet.data.manifest_changes import keep
from dynamonet.data.preparation import prepare
from dynamonet.data.preparation_report import report
from dynamonet.errors import UserError
from dynamonet.files import write_text
from dynamonet.progress import progress
from dynamonet.records import Stopwatch, write_record
from dynamonet.spec import DatasetSpec, read_spec


def prepare_dataset(spec_path: Path, workers: int = 1, shard: tuple[int, int] | None = None) -> None:
    """Prepare the data set of `<dataset>.spec.json`.

    Writes `<dataset>.parquet`, its record `<dataset>.json` and `<dataset>.md`, which says the same to read, beside it;
    for the i-th of n shards, which check and copy without writing a manifest, `<dataset>.<i>-of-<n>.json` alone.
    """
    spec_path = Path(spec_path)
    spec = read_spec(DatasetSpec, spec_path)
    out = spec_path.with_name(f"{spec.dataset}.parquet")
    watch = Stopwatch()
    title = f"prepare {spec.dataset}" + (f" {shard[0]}/{shard[1]}" if shard else "")
    with progress(title) as said:
        counts = prepare(
            spec.layout,
            Path(spec.root),
            out,
            max_unusable=spec.max_unusable,
            copies=spec.copies,
            copies_folder=spec.copies and Path(spec.copies_folder),
            workers=workers,
            progress=said,
            announce=partial(print, file=sys.stderr, flush=True),
            shard=shard,
        )
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = watch.read() | dict(workers_cpu_s=round(children.ru_utime + children.ru_stime, 3))
    about = dict(device="cpu", dataset=spec.dataset, root=spec.root, counts=counts, time=took)
    if shard is not None:
        done = spec_path.with_name(f"{spec.dataset}.{shard[0]}-of-{shard[1]}.json")
        write_record(done, "check", shard=list(shard), **about)
        return
    manifest = Manifest.load(out)
    keep(manifest, out)
    write_text(out.with_suffix(".md"), report(spec.dataset, spec.root, counts))
    write_record(
        out.with_suffix(".json"),
        "prepare",
        manifest_sha256=counts.pop("manifest_sha256"),
        classes=list(manifest.classes),
        **about,
    )


def estimate_copies(spec_path: Path) -> None:
    """Print what the prepared copies of a data set will take. Raises UserError if its spec asks for none."""
    from dynamonet.data.copy_estimate import estimate

    spec = read_spec(DatasetSpec, spec_path)
    if spec.copies is None:
        raise UserError(f"{spec_path} asks for no copies; give data set {spec.dataset} `copies` in the study file.")
    root = Path(spec.root).resolve()
    paths = [root / video.path for video in read_listing(spec.layout, root).videos]
    print(estimate([path for path in paths if path.is_file()], spec.copies))
