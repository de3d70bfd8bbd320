"""The layout and the study's entry that docs/adding-a-dataset.md shows, as the document shows them."""

import os
import re
import sys

import numpy as np
import pytest
import yaml
from listed_roots import error, write
from tiny_study import ROOT

from dynamonet.data import layouts
from dynamonet.data.encoding import encode
from dynamonet.data.listing import fingerprint, read_listing
from dynamonet.data.manifest import Manifest
from dynamonet.data.preparation import prepare
from dynamonet.errors import UserError
from dynamonet.study import load_study

DOCUMENT = (ROOT / "docs/adding-a-dataset.md").read_text()
NAME = re.search(r"`(\w+)\.py`, is complete", DOCUMENT).group(1)
VIDEOS = ["training/a+b/1.mp4", "training/c/2.mp4", "validation/a+b/3.mp4", "validation/c/4.mp4"]
LISTS = {
    "moments_categories.txt": "c,0\na+b,1\n",
    "trainingSet.csv": "a+b/1.mp4,a+b,3,0\nc/2.mp4,c,3,1\n",
    "validationSet.csv": "a+b/3.mp4,a+b,4,0\nc/4.mp4,c,5,0\n",
}


@pytest.fixture
def layout(tmp_path, monkeypatch):
    """The documented file, as if it lay among the layouts."""
    source = re.search(r"```python\n(.*?)```", DOCUMENT, re.DOTALL).group(1)
    write(tmp_path / "layouts", {f"{NAME}.py": source})
    monkeypatch.setattr(layouts, "__path__", [*layouts.__path__, str(tmp_path / "layouts")])
    yield NAME
    sys.modules.pop(f"{layouts.__name__}.{NAME}", None)


def test_it_prepares(layout, tmp_path):
    root = write(tmp_path / "root", LISTS)
    for number, name in enumerate(VIDEOS):
        frames = [np.full((32, 32, 3), 20 * number + step, np.uint8) for step in range(4)]
        encode(root / name, frames, "h264", 25)
    prepare(layout, root, tmp_path / "manifest.parquet", checked=tmp_path / "checked")
    manifest = Manifest.load(tmp_path / "manifest.parquet")
    assert manifest.classes == ("c", "a+b")
    assert manifest.select(1, "train")["path"].tolist() == VIDEOS[:2]
    assert manifest.select(1, "test")["class_index"].tolist() == [1, 0]


def test_its_lists_and_folders_are_watched(layout, tmp_path):
    root = write(tmp_path / "root", LISTS | dict.fromkeys(VIDEOS, ""))
    seen = {fingerprint(layout, root)}
    for name, text in LISTS.items():
        write(root, {name: text + "\n"})
        seen.add(fingerprint(layout, root))
    for video in VIDEOS:
        os.utime((root / video).parent, (1, 1))
        write(root, [video.replace(".mp4", "b.mp4")])
        seen.add(fingerprint(layout, root))
    assert len(seen) == 1 + len(LISTS) + len(VIDEOS)


def test_a_layout_without_sources_is_told_to_have_some(layout, tmp_path, monkeypatch):
    read_listing(layout, write(tmp_path / "root", LISTS))
    monkeypatch.delattr(sys.modules[f"{layouts.__name__}.{layout}"], "sources")
    with pytest.raises(UserError, match=rf"{NAME}.py has no function sources: write one, as docs/adding-a-dataset.md"):
        fingerprint(layout, tmp_path / "root")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("trainingSet.csv", "a+b/1.mp4,a+b\n", "trainingSet.csv:1: line 'a+b/1.mp4,a+b' is malformed"),
        ("trainingSet.csv", "d/1.mp4,d,3,0\n", "trainingSet.csv:1: class 'd' is not in the class list"),
        ("moments_categories.txt", "c,0\na+b,1\nd,2\n", "Class 'd' has no listed video"),
    ],
)
def test_it_refuses_other_lists(layout, tmp_path, name, text, message):
    assert message in error(layout, write(tmp_path / "root", LISTS | {name: text}))


def test_a_study_takes_it(layout, tiny):
    example = re.search(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL).group(1)
    tiny["datasets"] |= yaml.safe_load(example)["datasets"]
    (used,) = re.findall(r"with `dataset: (\w+)`", DOCUMENT)
    tiny["experiments"]["kinetics400"]["dataset"] = used
    assert load_study(tiny).datasets[used].layout == layout


def test_it_is_no_layout_otherwise(tmp_path):
    assert f"Layout {NAME!r} is unknown" in error(NAME, tmp_path)
