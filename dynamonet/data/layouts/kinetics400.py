"""Kinetics-400: `{train,val}/<label>/<youtube id>_<start>_<end>.mp4`, start and end as six-digit seconds.

The official CSV files are `annotations/train.csv` and `annotations/validate.csv`; the training list
becomes the training part of split 1, the validation list its test part.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from dynamonet.data.listing import Entry, Listing, collect
from dynamonet.errors import UserError

COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split")


def listing(root: Path) -> Listing:
    annotations = root / "annotations"
    entries = [
        *_entries(annotations / "train.csv", "train", "train"),
        *_entries(annotations / "validate.csv", "val", "test"),
    ]
    return collect(sorted({entry.class_name for entry in entries}), entries, splits=(1,))


def _entries(path: Path, folder: str, part: str) -> Iterator[Entry]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            missing = [column for column in COLUMNS if column not in (rows.fieldnames or ())]
            if missing:
                raise UserError(f"{path}:1: column {missing[0]!r} is missing; use the official CSV file.")
            for row in rows:
                yield _entry(row, f"{path}:{rows.line_num}", folder, part)
    except OSError:
        raise UserError(f"List {path} is missing or unreadable; put the official CSV file there.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"List {path} is not a CSV file in UTF-8 ({error}); use the official one.") from None


def _entry(row: dict[str, str], source: str, folder: str, part: str) -> Entry:
    label, youtube_id, start, end, split = (row[column] for column in COLUMNS)
    if not (label and youtube_id and split and (start or "").isdecimal() and (end or "").isdecimal()):
        raise UserError(f"{source}: the line is malformed; expected {','.join(COLUMNS)} with whole seconds.")
    if "/" in label + youtube_id:
        raise UserError(f"{source}: {label!r} or {youtube_id!r} holds a slash; correct the line.")
    return Entry(folder, f"{label}/{youtube_id}_{int(start):06d}_{int(end):06d}.mp4", label, 1, part, source)
