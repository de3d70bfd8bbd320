"""A small data set in the folder layout, to be prepared, and what its preparation leaves."""

import json
from pathlib import Path

import pytest

from dynamonet.data.encoding import encode
from dynamonet.data.preparation import prepare
from dynamonet.errors import UserError

TRAIN = ("wave/a.mp4", "wave/b.mp4", "jump/c.avi")
TEST = ("wave/d.mp4", "jump/e.avi")


def write_clips(root: Path, barcodes) -> Path:
    """The videos of TRAIN and TEST, of 10, 11... frames, and their lists; returns the folder."""
    for number, file in enumerate(TRAIN + TEST):
        encode(root / file, map(barcodes.draw, range(10 + number)), "h264" if file.endswith("mp4") else "dx50", 25)
    write_lists(root, TRAIN, TEST)
    return root


def write_lists(root: Path, train, test) -> None:
    classes = sorted({file.split("/")[0] for file in (*train, *test)})
    (root / "classInd.txt").write_text("".join(f"{number} {name}\n" for number, name in enumerate(classes, start=1)))
    (root / "trainlist01.txt").write_text(
        "".join(f"{file} {classes.index(file.split('/')[0]) + 1}\n" for file in train)
    )
    (root / "testlist01.txt").write_text("".join(f"{file}\n" for file in test))


def refused(root: Path, out: Path, **options) -> str:
    """The message of a refusal that left no manifest behind."""
    with pytest.raises(UserError) as caught:
        prepare("folder", root, out, **options)
    assert not list(out.parent.glob("*.parquet"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def ledger_keys() -> list[tuple]:
    """Of all lines in the working folder's ledgers."""
    lines = [line for path in sorted(Path("data/checked").rglob("*.jsonl")) for line in path.read_text().splitlines()]
    return [tuple(json.loads(line)[0]) for line in lines]
