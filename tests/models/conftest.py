"""RAFT's weights where there is no network: its real architecture, with random values."""

from pathlib import Path

import pytest
import torch
from torchvision.models.optical_flow import raft_small

from dynamonet.files import sha256_file
from dynamonet.models import optical_flow


@pytest.fixture(scope="session")
def raft_home(tmp_path_factory) -> Path:
    """A folder of torch.hub that holds one file of RAFT weights, whose name ends in its hash."""
    home = tmp_path_factory.mktemp("torch")
    folder = home / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(raft_small().state_dict(), folder / "raft.pth")
    (folder / "raft.pth").rename(folder / f"raft_small-{sha256_file(folder / 'raft.pth')[:8]}.pth")
    return home


@pytest.fixture
def raft_weights(raft_home, monkeypatch) -> Path:
    """That file, in the place of the published one."""
    (path,) = (raft_home / "hub" / "checkpoints").iterdir()
    monkeypatch.setenv("TORCH_HOME", str(raft_home))
    monkeypatch.setitem(optical_flow.WEIGHTS, "raft_small", f"https://example.org/{path.name}")
    return path
