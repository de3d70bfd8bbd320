"""A file that is copied into baselines/ of a checkout: jobs, tests and rows in every table, without another edit."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from documented_commands import copy_checkout, run_documented, succeed
from tiny_study import ROOT

DOCUMENT = (ROOT / "docs/adding-a-baseline.md").read_text()
TWO_PATHWAYS = '''
"""Two pathways of unlike resolution, on clips of five frames: nothing that the project's own models do."""

import torch
from torch import nn

from dynamonet.models.card import Clip, ModelCard

CARD = ModelCard(
    title="Two sights", clip=Clip(frames=5, stride=3, crop=37), mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2), source="here"
)


class TwoSights(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.sharp = nn.Conv2d(3, 4, 5, stride=3)
        self.coarse = nn.Conv3d(3, 6, (2, 3, 3))
        self.last = nn.Linear(10, num_classes)

    def forward(self, video):
        n, _, frames, height, width = video.shape
        sharp = self.sharp(video[:, :, frames // 2]).amax((2, 3))
        coarse = self.coarse(nn.functional.avg_pool3d(video, (1, 4, 4))).relu().mean((2, 3, 4))
        return self.last(torch.cat([sharp, coarse], 1))


def build(num_classes, clip):
    return TwoSights(num_classes)
'''
BROKEN = "from dynamonet.models.card import ModelCard\nCARD = ModelCard(title='Broken'\n"


@pytest.fixture
def checkout(tmp_path, motion_home) -> Path:
    """A copy of the project with three more baselines: the documented one, one of two pathways, and a broken one."""
    folder = copy_checkout(tmp_path / "checkout")
    (folder / "data").symlink_to(motion_home / "data")
    documented = re.search(r"```python\n(.*?)```", DOCUMENT, re.DOTALL).group(1)
    for name, source in {"tiny_c3d": documented, "two_sights": TWO_PATHWAYS, "broken": BROKEN}.items():
        (folder / f"baselines/{name}.py").write_text(source)
    return folder


def test_new_files_are_planned_tested_and_tabled(checkout, tiny):
    planned = succeed(checkout, "snakemake all -n")
    assert "left out: baselines/broken.py does not import: SyntaxError" in planned
    for name in ("tiny_c3d", "two_sights"):
        for job in (f"train {name}-kinetics400.1-s0", f"evaluate {name}-hmdb51.3-s0", f"measure {name}"):
            assert f"\n{job}" in planned, job

    quick = {"PYTEST_ADDOPTS": "-p no:xdist -p no:cacheprovider"}
    tested = succeed(checkout, "python -m pytest tests/baselines -k tiny_c3d", **quick)
    assert int(re.search(r"(\d+) passed", tested).group(1)) >= 7

    # Beside one other model, in the place of all.
    files, aside = checkout / "baselines", checkout / "aside"
    shutil.copytree(files, aside)
    for path in files.glob("[a-z]*.py"):
        if path.stem not in ("tiny_c3d", "two_sights", "x3d_xs"):
            path.unlink()
    measured = run_documented(checkout, "dynamonet measure --all")
    # One model of the project's own downloads RAFT's weights; where it cannot, it says so and the others are measured.
    if measured.returncode:
        assert "of 6 models 1 could not be measured, and 0 published" in measured.stderr, measured.stderr
        assert re.search("^optical flow needs .*: get https", measured.stderr, re.MULTILINE), measured.stderr
    zoo = pd.read_csv(checkout / "results/zoo/tables/zoo.csv").set_index("model")
    assert zoo.loc[["tiny_c3d", "two_sights", "x3d_xs", "dynamonet"], "gmacs_per_clip"].notna().all()

    shutil.copytree(aside, files, dirs_exist_ok=True)
    tiny["name"] = "demo"
    tiny["baselines"] = {"leave_out": [path.stem for path in (ROOT / "baselines").glob("[a-z]*.py")]}
    tiny["models"] = {}
    tiny["recipes"]["short"]["steps"] = 2
    tiny["experiments"] = {"kinetics400": {**tiny["experiments"]["kinetics400"], "models": ["baselines"]}}
    tiny["claims"] = {}
    (checkout / "config/demo.yaml").write_text(yaml.safe_dump(tiny))
    succeed(checkout, "snakemake all")
    tables = checkout / "results/demo/tables"
    for table in ("accuracy", "cost", "runtime", "fairness"):
        assert set(pd.read_csv(tables / f"{table}.csv")["model"]) == {"tiny_c3d", "two_sights"}, table
    assert pd.read_csv(tables / "accuracy.csv")["top1_mean_percent"].notna().all()
    assert "baselines/broken.py does not import" in (tables / "fairness.md").read_text()
