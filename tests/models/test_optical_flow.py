import urllib.error
from pathlib import Path

import pytest
import torch
from torchvision.models.optical_flow import Raft_Large_Weights, Raft_Small_Weights

from dynamonet.errors import UserError
from dynamonet.models import optical_flow
from dynamonet.models.optical_flow import WEIGHTS, Raft


@pytest.fixture
def raft(raft_weights):
    return Raft()


def returns(flow):
    """A network that finds the same flow everywhere, and keeps what it was given."""

    def net(first, second):
        net.given.append((first, second))
        return [torch.zeros(2), torch.tensor(flow).view(1, 2, 1, 1).expand(len(first), 2, *first.shape[2:])]

    net.given, net.to = [], lambda device: net
    return net


def test_the_weights_are_those_of_the_file_and_nothing_is_drawn(raft_weights):
    before = torch.get_rng_state()
    net = Raft().net
    assert torch.equal(torch.get_rng_state(), before)
    saved = torch.load(raft_weights, weights_only=True)
    assert saved.keys() == net.state_dict().keys()
    assert all(torch.equal(tensor, saved[key]) for key, tensor in net.state_dict().items())
    assert not net.training and not any(p.requires_grad for p in net.parameters())


def test_the_weights_are_torchvisions_own():
    assert {"raft_small": Raft_Small_Weights.DEFAULT.url, "raft_large": Raft_Large_Weights.DEFAULT.url} == WEIGHTS


def test_weights_that_cannot_be_had_are_named_with_their_address_and_place(tmp_path, monkeypatch):
    def offline(*args, **kwargs):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(UserError) as refusal:
        Raft()
    assert str(tmp_path / "hub/checkpoints/raft_small_C_T_V2-01064c6d.pth") in str(refusal.value)
    assert WEIGHTS["raft_small"] in str(refusal.value)
    assert "no route to host" in str(refusal.value)


def test_a_folder_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file"))
    with pytest.raises(UserError, match=rf"optical flow needs {tmp_path}/file/hub.*TORCH_HOME sets the folder"):
        Raft()


def test_weights_are_downloaded_once(raft_weights, tmp_path, monkeypatch):
    downloads = []

    def download(url, place, hash_prefix, progress):
        downloads.append((url, hash_prefix))
        Path(place).write_bytes(raft_weights.read_bytes())

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    Raft()
    Raft()
    assert downloads == [(WEIGHTS["raft_small"], raft_weights.stem[-8:])]


def test_damaged_weights_are_refused(raft_weights, tmp_path, monkeypatch):
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / raft_weights.name).write_bytes(raft_weights.read_bytes()[:-1])
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UserError, match="is damaged"):
        Raft()


def test_an_unknown_variant_is_refused():
    with pytest.raises(ValueError, match="raft_small, raft_large, not 'raft_tiny'"):
        Raft("raft_tiny")


def test_motion_is_in_256ths_of_the_shorter_side_whatever_size_raft_sees(raft):
    raft.net = returns([3.0, -1.0])
    flow = raft.between(torch.rand(2, 3, 60, 100), torch.rand(2, 3, 60, 100))
    assert flow.shape == (2, 2, 60, 100)
    assert raft.net.given[0][0].shape == (2, 3, 128, 128)
    expected = torch.tensor([3 * 100 / 128 * 256 / 60, -1 * 60 / 128 * 256 / 60])
    torch.testing.assert_close(flow, expected.view(1, 2, 1, 1).expand_as(flow))
    raft.between(torch.rand(1, 3, 130, 256), torch.rand(1, 3, 130, 256))
    assert raft.net.given[1][0].shape == (1, 3, 136, 256)


def test_raft_sees_pairs_of_frames_from_minus_one_to_one(raft):
    raft.net = returns([0.0, 0.0])
    video = torch.linspace(0, 1, 4).view(1, 1, 4, 1, 1).expand(1, 3, 4, 128, 128)
    raft(video)
    first, second = raft.net.given[0]
    torch.testing.assert_close(first[:, 0, 0, 0], torch.tensor([-1, -1 / 3, 1 / 3]))
    torch.testing.assert_close(second[:, 0, 0, 0], torch.tensor([-1 / 3, 1 / 3, 1]))


def test_a_clip_gets_a_field_for_every_frame_and_the_last_is_repeated(raft, monkeypatch):
    def rise(first, second):
        return [(second - first)[:, :2]]

    rise.to = lambda device: rise
    raft.net = rise
    brightness = torch.tensor([[0.0, 0.1, 0.3, 0.6], [0.5, 0.5, 0.2, 0.1]])
    video = brightness.view(2, 1, 4, 1, 1).expand(2, 3, 4, 128, 128)
    # RAFT sees twice the difference; 2 is from one frame of 128 pixels to 256ths, 20 the bound
    differences = 2 * 2 * brightness.diff() / 20
    expected = torch.cat([differences, differences[:, -1:]], 1)
    for pairs in (32, 2):
        monkeypatch.setattr(optical_flow, "PAIRS_PER_PASS", pairs)
        flow = raft(video)
        assert flow.shape == (2, 2, 4, 128, 128)
        torch.testing.assert_close(flow[:, 0, :, 5, 7], expected)


def test_motion_beyond_the_bound_is_clamped(raft):
    raft.net = returns([300.0, -300.0])
    flow = raft(torch.rand(1, 3, 2, 32, 32))
    assert (flow[:, 0] == 1).all() and (flow[:, 1] == -1).all()


def test_autocast_does_not_reach_raft(raft):
    video = torch.rand(1, 3, 2, 32, 32, generator=torch.Generator().manual_seed(0))
    alone = raft(video)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(raft(video), alone)
    assert alone.dtype == torch.float32 and torch.isfinite(alone).all()
