"""The study's data: roots, lists, a few files, copies, stored flow, checkpoints. Free of torch."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from dynamonet.data.listing import Listing, read_listing
from dynamonet.data.official import counts_to_meet, differences
from dynamonet.doctor.finding import OK, PROBLEM, WARNING, Finding
from dynamonet.errors import UserError
from dynamonet.files import sha256_file
from dynamonet.planning.disk import existing
from dynamonet.study_schema import Study

SUBJECT = "data"
LOOKED_FOR, DECODED = 100, 3
"""Files of a data set that are looked for, and of those found that are decoded."""


def check_dataset(study: Study, dataset: str) -> Iterator[Finding]:
    config, root = study.datasets[dataset], study.dataset_root(dataset)
    if study.is_generated(dataset):
        there = "is there" if (study.motion_root / "complete.json").is_file() else "will be generated"
        yield Finding(SUBJECT, OK, f"{dataset}: the embedded set {there} ({root})")
    elif not root.is_dir():
        mend = f"mount or unpack it there, or edit datasets.{dataset}.root in the study file"
        yield Finding(SUBJECT, PROBLEM, f"{dataset}: the folder {root} does not exist", mend)
    else:
        yield from _lists_and_files(study, dataset, root)
    if (copies := study.copies_folder(dataset)) is not None:
        yield _writable(f"{dataset}: the folder of its copies", copies, f"datasets.{dataset}.copies.folder")
    flow = study.flow_root(dataset)
    if flow is not None and not flow.is_dir():
        says = f"{dataset}: the folder {flow} of its stored flow does not exist"
        yield Finding(SUBJECT, PROBLEM, says, f"mkdir -p {flow}, or edit datasets.{dataset}.flow_root")
    elif flow is not None and config.flow_root:
        yield Finding(SUBJECT, OK, f"{dataset}: stored flow in {flow}")


def check_checkpoints(study: Study) -> Iterator[Finding]:
    for name, config in study.checkpoints.items():
        path = study.checkpoint_path(name)
        if not path.is_file():
            says = f"checkpoint {name}: the file {path} does not exist"
            yield Finding(SUBJECT, PROBLEM, says, f"put it there, or edit checkpoints.{name}.path")
        elif sha256_file(path) != config.sha256:
            says = f"checkpoint {name}: {path} is another file than the study's SHA-256 says"
            yield Finding(SUBJECT, PROBLEM, says, "get it again, or correct the sha256 in the study file")
        else:
            yield Finding(SUBJECT, OK, f"checkpoint {name}: {path} is the file that the study says")


def _lists_and_files(study: Study, dataset: str, root: Path) -> Iterator[Finding]:
    config = study.datasets[dataset]
    try:
        listing = read_listing(config.layout, root)
    except UserError as error:
        says = f"{dataset}: {root} is not read as {config.layout}: {error}"
        yield Finding(SUBJECT, PROBLEM, says, f"mend what is said, or edit datasets.{dataset}.layout")
        return
    yield _counts(dataset, listing, counts_to_meet(config.layout, root))
    if lacking := [split for split in config.splits if split not in listing.splits]:
        says = f"{dataset}: its lists have no split {', '.join(map(str, lacking))}"
        yield Finding(SUBJECT, PROBLEM, says, f"edit datasets.{dataset}.splits, or add the lists")
    looked_for = _spread([root / video.path for video in listing.videos], LOOKED_FOR)
    found = [path for path in looked_for if path.is_file()]
    says = f"{dataset}: {len(found)} of {len(looked_for)} listed files that were looked for are there"
    if not found:
        mend = f"unpack the videos in {root}; expected was, for one, {looked_for[0]}"
        yield Finding(SUBJECT, PROBLEM, says, mend)
    elif len(found) < len(looked_for) and not config.max_unusable:
        mend = f"get the others, or set datasets.{dataset}.max_unusable, which is 0"
        yield Finding(SUBJECT, WARNING, says, mend)
    else:
        yield Finding(SUBJECT, OK, says)
    yield from _decoded(dataset, _spread(found, DECODED))


def _counts(dataset: str, listing: Listing, official: dict | None) -> Finding:
    says = f"{dataset}: {len(listing.videos)} videos of {len(listing.classes)} classes are listed"
    if others := differences(listing, official):
        mend = "nothing, if the lists are meant to be other than the official ones"
        return Finding(SUBJECT, WARNING, f"{says}; other than officially: {'; '.join(map(str, others))}", mend)
    return Finding(SUBJECT, OK, says + (", in all splits as officially" if official else ""))


def _decoded(dataset: str, paths: Sequence[Path]) -> Iterator[Finding]:
    from dynamonet.data.check import check_video
    from dynamonet.data.video import VideoError

    damaged = []
    for path in paths:
        try:
            check_video(path)
        except VideoError as error:
            damaged.append(f"{path} {error.reason}")
    if damaged:
        state = PROBLEM if len(damaged) == len(paths) else WARNING
        yield Finding(
            SUBJECT,
            state,
            f"{dataset}: of {len(paths)} files {len(damaged)} do not decode: {damaged[0]}",
            f"get them again; `dynamonet prepare --spec results/<study>/manifests/{dataset}.spec.json` names all",
        )
    elif paths:
        yield Finding(SUBJECT, OK, f"{dataset}: {len(paths)} files decode from end to end")


def _writable(what: str, folder: Path, key: str) -> Finding:
    above = existing(folder)
    if not (above.is_dir() and os.access(above, os.W_OK | os.X_OK)):
        return Finding(SUBJECT, PROBLEM, f"{what}, {folder}, cannot be written to", f"chmod {above}, or edit {key}")
    return Finding(SUBJECT, OK, f"{what}, {folder}, {'is' if folder == above else 'can be made and is'} writable")


def _spread(items: list, count: int) -> list:
    """At most `count` of them, evenly spread."""
    step = max(1, len(items) / count)
    return [items[int(place * step)] for place in range(min(count, len(items)))]
