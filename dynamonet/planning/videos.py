"""How many videos a data set has, from the best that is at hand. Free of torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from dynamonet.data.listing import Listing, official_counts, read_listing
from dynamonet.data.motion_layouts import plan as motion_plan
from dynamonet.records import Record
from dynamonet.study_schema import MOTION, Study


@dataclass(frozen=True)
class Videos:
    """splits: by split and part ("train", "test"). source: manifest, lists, or official counts."""

    listed: int
    classes: int
    splits: Mapping[int, Mapping[str, int]]
    source: str


def count_videos(study: Study, dataset: str) -> Videos | None:
    """Videos of a data set; None where neither it nor its official counts are there.

    A manifest counts those that are usable, lists all of them. Raises UserError for lists that are malformed.
    """
    config = study.datasets[dataset]
    record = study.directory / "manifests" / f"{dataset}.json"
    if record.is_file():
        counts = Record.read(record).get("counts")
        splits = {int(split): parts for split, parts in counts["splits"].items()}
        return Videos(counts["listed"], counts["classes"], splits, "manifest")
    root = study.dataset_root(dataset)
    if root.is_dir():
        return _counted(read_listing(config.layout, root))
    if study.is_generated(dataset):
        return _counted(_listing_to_come(study, dataset))
    official = official_counts(config.layout)
    if official is None:
        return None
    splits = {int(split): parts for split, parts in official["splits"].items()}
    return Videos(official["listed"], official["classes"], splits, "official counts")


def _counted(listing: Listing) -> Videos:
    splits = {split: {"train": 0, "test": 0} for split in listing.splits}
    for video in listing.videos:
        for split, part in video.parts.items():
            splits[split][part] += 1
    return Videos(len(listing.videos), len(listing.classes), splits, "lists")


def _listing_to_come(study: Study, dataset: str) -> Listing:
    """The lists of an embedded data set that is not generated yet, with files that are empty."""
    config = study.datasets[dataset]
    part = config.root.removeprefix(MOTION).strip("/")
    clips, lists = motion_plan(study.motion)
    with TemporaryDirectory() as folder:
        for path, text in [*((clip.path, "") for clip in clips), *lists.items()]:
            if path.startswith(f"{part}/"):
                file = Path(folder, path)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
        return read_listing(config.layout, Path(folder, part))
