"""What every model of the catalogue must do: a new file in `baselines/` is tested because it is there."""

import pytest
import torch

from dynamonet.errors import UserError
from dynamonet.models import catalogue
from dynamonet.models.card import Clip, ModelCard
from dynamonet.models.catalogue import check_options, model_module, model_names
from dynamonet.models.classifier import build_classifier

# Millions of parameters at 400 classes, as the pytorchvideo model zoo prints them.
PUBLISHED_PARAMETERS_M = {"c2d_r50": 24.33, "slow_r50": 32.45, "r2plus1d_r50": 28.11, "x3d_xs": 3.79}


@pytest.mark.parametrize("name", model_names())
def test_trains_on_a_small_clip(name, raft_weights):
    torch.manual_seed(0)
    clip = Clip(frames=8, crop=64)
    model = build_classifier(name, 3, {}, clip)
    output = model(torch.rand(2, model_module(name).CARD.channels, clip.frames, clip.crop, clip.crop))
    assert output.logits.shape == (2, 3)
    output.logits.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", model_names())
def test_gives_logits_not_probabilities(name, raft_weights):
    torch.manual_seed(0)
    model = build_classifier(name, 3, {}, Clip(frames=8, crop=64)).eval()
    with torch.no_grad():
        logits = model(torch.rand(1, model_module(name).CARD.channels, 8, 64, 64)).logits
    assert not torch.allclose(logits.sum(1), torch.ones(1), atol=1e-4)


@pytest.mark.parametrize(("name", "parameters_m"), PUBLISHED_PARAMETERS_M.items())
def test_has_the_published_number_of_parameters(name, parameters_m):
    with torch.device("meta"):
        model = build_classifier(name, 400, {}, model_module(name).CARD.clip)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(parameters_m, rel=2e-3)


def test_options_are_checked_without_building():
    check_options("slow_r50", {"width": 8})
    with pytest.raises(UserError, match="no option 'depth'"):
        check_options("slow_r50", {"depth": 8})


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def build(:", "does not import: SyntaxError"),
        ("def build(num_classes): pass", "has no CARD"),
        ("from baselines.slow_r50 import CARD", r"has no function build"),
    ],
)
def test_a_broken_baseline_is_named(tmp_path, monkeypatch, source, said):
    import baselines

    (tmp_path / "broken.py").write_text(source)
    monkeypatch.setattr(catalogue, "BASELINES", tmp_path)
    monkeypatch.setattr(baselines, "__path__", [str(tmp_path), *baselines.__path__])
    assert "broken" in model_names()
    with pytest.raises(UserError, match=f"baselines/broken.py {said}"):
        model_module("broken")
    import sys

    sys.modules.pop("baselines.broken", None)


def test_every_card_names_its_source():
    for name in model_names():
        card = model_module(name).CARD
        assert isinstance(card, ModelCard)
        assert card.source
        assert all(value.source for value in card.published)
