import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from dynamonet.files import read_json
from dynamonet.measure.zoo import zoo_spec
from dynamonet.models.card import Clip
from dynamonet.models.catalogue import model_names

PROJECT = Path(__file__).resolve().parents[2]
FAULTY = """
from baselines.x3d_xs import CARD, RELEASES

def build(num_classes, clip):
    import os
    from torch import nn

    class Faulty(nn.Module):
        def forward(self, video):
            {fault}

    return Faulty()
"""
FAULTS = {
    "raises": "raise IndexError('no such frame')",
    "killed": "os.kill(os.getpid(), 9)",
    "uncounted": "return video.sigmoid().erfinv().flatten(1)[:, :num_classes]",
}
SAID = {
    "raises": r"baselines/raises\.py: its network fails on a clip of \(3, 4, 182, 182\): IndexError: no such frame",
    "killed": r"baselines/killed\.py: its process was killed, as where memory has run out",
    "uncounted": r"baselines/uncounted\.py: no counter knows the operator aten::erfinv: .*",
}


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """What `measure_all` leaves and says of a tree whose models are X3D-XS, one that is not as published, and three
    that fail."""
    tree = tmp_path_factory.mktemp("tree")
    shutil.copytree(PROJECT / "dynamonet", tree / "dynamonet", ignore=shutil.ignore_patterns("__pycache__"))
    # Times are measured elsewhere, for longer.
    speed = tree / "dynamonet" / "measure" / "speed.py"
    speed.write_text(speed.read_text().replace("SEARCH_S = 30.0", "SEARCH_S = 1.0"))
    (tree / "baselines").mkdir()
    for name in ("__init__", "_pytorchvideo", "_x3d", "x3d_xs"):
        shutil.copy(PROJECT / "baselines" / f"{name}.py", tree / "baselines")
    other = (tree / "baselines" / "x3d_xs.py").read_text().replace("3.79", "3.89").replace("0.91", "0.87")
    (tree / "baselines" / "unmet.py").write_text(other)
    for name, fault in FAULTS.items():
        (tree / "baselines" / f"{name}.py").write_text(FAULTY.format(fault=fault))
    code = (
        "from pathlib import Path; from dynamonet.measure.zoo import measure_all\n"
        f"measure_all(Path('zoo'), {['x3d_xs', *FAULTS, 'unmet']}, speed=True)"
    )
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tree, env=environment, capture_output=True, text=True)
    return tree / "zoo", done


def test_a_model_is_measured_beside_what_is_published(measured):
    out, done = measured
    row = pd.read_csv(out / "tables" / "zoo.csv").set_index("model").loc["x3d_xs"]
    assert (row["frames"], row["stride"], row["crop"], row["classes"], row["views_per_video"]) == (4, 12, 182, 400, 30)
    assert row["parameters_ratio"] == pytest.approx(1, abs=0.002)
    assert row["published_counting"] == "training_norms"
    assert row["gmacs_ratio"] == pytest.approx(1, abs=0.015)
    assert row["gmacs_per_clip"] / row["published_gmacs"] == pytest.approx(0.958, abs=0.001)
    assert "0.872" in (out / "tables" / "zoo.md").read_text()
    assert "X3D-XS" in done.stdout
    speed = pd.read_csv(out / "tables" / "zoo_speed.csv").set_index("model").loc["x3d_xs"]
    assert speed["clips_per_s"] > 0
    widest_mib = 54 * 4 * 91**2 * 4 / 2**20  # input and output of the first depthwise convolution
    assert speed["clip_peak_memory_mib"] > 2 * widest_mib
    assert speed["peak_memory_mib"] > 2 * widest_mib * speed["batch_size"]
    assert (speed["precision"], speed["threads"]) == ("fp32", 1)
    assert read_json(out / "measure" / "x3d_xs.json")["provenance"]["packages"]["fvcore"]


@pytest.mark.parametrize("name", FAULTS)
def test_a_model_that_fails_is_one_sentence_and_the_others_are_measured(measured, name):
    out, done = measured
    assert [line for line in done.stderr.splitlines() if re.fullmatch(SAID[name], line)]
    assert name not in list(pd.read_csv(out / "tables" / "zoo.csv")["model"])
    assert "Missing: raises, killed, uncounted." in (out / "tables" / "zoo.md").read_text()


def test_published_numbers_that_are_not_met_are_an_error(measured):
    _, done = measured
    assert "model 'unmet': its parameters are 0.9754 times the published ones" in done.stderr
    assert "model 'unmet': its gmacs are 1.0512 times the published ones" in done.stderr
    assert done.returncode
    assert "of 5 models 3 could not be measured, and 2 published numbers are not met" in done.stderr


@pytest.mark.parametrize(
    ("name", "clip", "views"),
    [
        ("slow_r50", Clip(frames=8, stride=8, crop=256), 30),  # tested at 256 pixels, trained at 224
        ("swin3d_t", Clip(frames=16, stride=2, crop=224), 12),  # trained on 32 frames, counted with 16
    ],
)
def test_the_input_is_that_of_the_published_gmacs(name, clip, views):
    spec = zoo_spec(name, threads=1)
    assert spec.clip.model_copy(update={"crop": spec.views.crop or spec.clip.crop}) == clip
    assert spec.views.clips * spec.views.crops == views


def test_every_model_can_be_asked_for():
    assert {zoo_spec(name, threads=1).build for name in model_names()} == set(model_names())
