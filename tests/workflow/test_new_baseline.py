"""A file that is copied into baselines/ of a checkout: jobs, tests and rows in every table, without another edit."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from tiny_study import ROOT

DOCUMENT = (ROOT / "docs/adding-a-baseline.md").read_text()
CHECKOUT = ("Snakefile", "workflow", "profiles", "config", "dynamonet", "baselines", "tests", "pyproject.toml")
PLUGINS = ("snakemake_logger_plugin_dynamonet", "snakemake_executor_plugin_submitit")
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
    folder = tmp_path / "checkout"
    for name in (*CHECKOUT, *PLUGINS):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        folder.mkdir(exist_ok=True)
        copy(ROOT / name, folder / name)
    (folder / "data").symlink_to(motion_home / "data")
    documented = re.search(r"```python\n(.*?)```", DOCUMENT, re.DOTALL).group(1)
    for name, source in {"tiny_c3d": documented, "two_sights": TWO_PATHWAYS, "broken": BROKEN}.items():
        (folder / f"baselines/{name}.py").write_text(source)
    return folder


def run(checkout: Path, *command: str) -> subprocess.CompletedProcess:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)


def test_new_files_are_planned_tested_and_tabled(checkout, tiny):
    commands = re.search(r"```bash\n(.*?)```", DOCUMENT, re.DOTALL).group(1).splitlines()
    plan, tests, *_ = (command.partition("#")[0].split() for command in commands)

    planned = run(checkout, *plan)
    assert planned.returncode == 0, planned.stderr
    assert "left out: baselines/broken.py does not import: SyntaxError" in planned.stderr
    for name in ("tiny_c3d", "two_sights"):
        for job in (f"train {name}-kinetics400.1-s0", f"evaluate {name}-hmdb51.3-s0", f"measure {name}"):
            assert f"\n{job}" in planned.stderr + planned.stdout, job

    tested = run(checkout, *tests, "-q", "-p", "no:xdist", "-p", "no:cacheprovider", "-o", "addopts=")
    assert tested.returncode == 0, tested.stdout
    assert int(re.search(r"(\d+) passed", tested.stdout).group(1)) >= 7

    tiny["baselines"] = {"leave_out": [path.stem for path in (ROOT / "baselines").glob("[a-z]*.py")]}
    tiny["models"] = {}
    tiny["recipes"]["short"]["steps"] = 2
    tiny["experiments"] = {"kinetics400": {**tiny["experiments"]["kinetics400"], "models": ["baselines"]}}
    tiny["claims"] = {}
    (checkout / "tiny.yaml").write_text(yaml.safe_dump(tiny))
    done = run(checkout, "snakemake", "all", "--cores", "2", "--configfile", "tiny.yaml")
    assert done.returncode == 0, done.stderr
    for table in ("accuracy", "cost", "runtime", "fairness"):
        models = set(pd.read_csv(checkout / f"results/tiny/tables/{table}.csv")["model"])
        assert models == {"tiny_c3d", "two_sights"}, table
    accuracy = pd.read_csv(checkout / "results/tiny/tables/accuracy.csv")
    assert accuracy["top1_mean_percent"].notna().all()
    assert "baselines/broken.py does not import" in (checkout / "results/tiny/tables/fairness.md").read_text()
