"""What every baseline must do: a new file in `baselines/` is tested because it is there.

Networks of full size are built and run on the meta device, which computes nothing; what needs numbers runs on the
smallest clip that the baseline's `check` admits.
"""

import random
import subprocess
import sys
from collections import Counter
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.flop_counter import FlopCounterMode

from dynamonet.errors import UserError
from dynamonet.measure.cost import count_cost
from dynamonet.models.card import Clip
from dynamonet.models.catalogue import OWN, check_options, model_module, model_names
from dynamonet.models.classifier import build_classifier, check_output

BASELINES = [name for name in model_names() if name not in OWN]
pytestmark = pytest.mark.filterwarnings("ignore:'saved_variables' is deprecated:DeprecationWarning")


def one_of_each_source() -> list[str]:
    """The baseline of the fewest parameters for each source of code that a card names, and any without a card."""
    smallest = {}
    for name in BASELINES:
        try:
            card = model_module(name).CARD
        except UserError:
            smallest[name] = 0, name
            continue
        size = sum(value.value for value in card.published if value.metric == "parameters_m")
        smallest[card.source] = min((size, name), smallest.get(card.source, (size, name)))
    return [name for _, name in smallest.values()]


def smallest_clip(name: str) -> Clip:
    """The smallest clip that `check` of the baseline admits, of those that a test can afford."""
    clips = [Clip(frames=frames, crop=crop) for crop, frames in product((32, 64, 112, 224), (4, 8, 16, 32))]
    for clip in [*clips, model_module(name).CARD.clip]:
        try:
            check_options(name, {}, clip)
        except UserError:
            continue
        return clip


def video(name: str, clip: Clip, clips: int = 1) -> torch.Tensor:
    return torch.rand(clips, model_module(name).CARD.channels, clip.frames, clip.crop, clip.crop)


def on_meta(name: str, classes: int, clip: Clip):
    with torch.device("meta"):
        return build_classifier(name, classes, {}, clip).eval()


@pytest.fixture(scope="module")
def small_on_meta(name):
    """The baseline on its smallest clip, for two classes, on the meta device, which draws no random numbers."""
    before = torch.get_rng_state()
    network = on_meta(name, 2, smallest_clip(name))
    assert torch.equal(before, torch.get_rng_state())
    return network


@pytest.fixture(scope="module", params=BASELINES)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def built(name):
    """The baseline on its smallest clip, for three classes, from seed 0."""
    torch.manual_seed(0)
    return build_classifier(name, 3, {}, smallest_clip(name))


def test_learns_from_a_small_clip(name, built):
    clips = video(name, smallest_clip(name), 2)
    built.train()
    logits = built(clips).logits
    assert logits.shape == (2, 3)
    assert not torch.allclose(logits.sum(1), torch.ones(2), atol=1e-4), "probabilities"
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1])).backward()
    untrained = [key for key, p in built.named_parameters() if p.requires_grad and p.grad is None]
    assert not untrained, "no gradient reaches these"
    assert all(torch.isfinite(p.grad).all() for p in built.parameters() if p.grad is not None)
    built.zero_grad()


def test_gives_logits_not_probabilities_when_evaluated(name, built):
    clips = video(name, smallest_clip(name), 2)
    check_output(built, clips)
    with torch.no_grad():
        logits = built.eval()(clips).logits
        assert not torch.allclose(logits.sum(1), torch.ones(2), atol=1e-4)
        # Each video for itself: what else is in its batch changes nothing.
        assert torch.allclose(built(clips[1:]).logits, logits[1:], rtol=1e-4, atol=1e-5)


def test_is_a_function_of_its_seed_and_its_weights(name, built):
    seeded = {key: value.clone() for key, value in built.state_dict().items()}
    others = random.getstate(), np.random.get_state()[1].tolist()
    settings = torch.get_default_dtype(), torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.manual_seed(0)
    again = build_classifier(name, 3, {}, smallest_clip(name)).eval()
    assert others == (random.getstate(), np.random.get_state()[1].tolist()), "it draws from another generator"
    assert settings == (
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
    )
    # The passes in training mode before have changed running statistics, and nothing else.
    parameters = dict(again.named_parameters())
    assert all(torch.equal(parameters[key], seeded[key]) for key in parameters)
    with torch.no_grad():
        for parameter in again.parameters():
            parameter.zero_()
        again.load_state_dict(seeded)
        clip = video(name, smallest_clip(name))
        assert torch.equal(again(clip).logits, built.eval()(clip).logits)


def test_has_a_classifier_for_any_number_of_classes(name, built, small_on_meta):
    assert small_on_meta(video(name, smallest_clip(name)).to("meta")).logits.shape == (1, 2)
    two, three = ({key: value.shape for key, value in net.state_dict().items()} for net in (small_on_meta, built))
    assert two.keys() == three.keys()
    assert any(two[key] != three[key] for key in two)


def gmacs(network: nn.Module, clip: torch.Tensor) -> dict[str, float]:
    """10⁹ operations by each of the ways to count that a card may name: torch's counter, and the sizes of norms."""
    values = Counter()
    for module in network.modules():
        if isinstance(module, _BatchNorm | nn.LayerNorm):
            module.register_forward_hook(lambda module, _, output: values.update({type(module): output.numel()}))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(clip)
    products, normalised = counter.get_total_flops() / 2, sum(values.values())
    layer_norms = values[nn.LayerNorm]
    return {
        "products": products / 1e9,
        "fvcore": (products + 2 * (normalised - layer_norms) + 5 * layer_norms) / 1e9,
        "training_norms": (products + 5 * normalised) / 1e9,
    }


def test_costs_what_is_published(name):
    card = model_module(name).CARD
    published = {value.metric: value for value in card.published}
    macs, parameters_m = published.get("gmacs_per_clip"), published.get("parameters_m")
    if macs is None and parameters_m is None:
        pytest.skip(f"the card of {name} has no published costs")
    clip = macs.input if macs and macs.input else card.published_input
    # Built as for training, and counted on the larger crop of the published test, where there is one.
    network = on_meta(name, 400, clip.model_copy(update={"crop": card.clip.crop}))
    if parameters_m:
        assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(parameters_m.value, rel=2e-3)
    if macs:
        assert gmacs(network, video(name, clip).to("meta"))[macs.counting] == pytest.approx(macs.value, rel=6e-3)


@pytest.mark.parametrize("name", one_of_each_source(), indirect=True)  # fvcore takes seconds
def test_is_counted_by_the_measure_stage(name, small_on_meta):
    clip = video(name, smallest_clip(name)).to("meta")
    cost = count_cost(small_on_meta, clip)
    for counting, value in gmacs(small_on_meta, clip).items():
        assert cost.counted(counting) == pytest.approx(value, rel=1e-3)


@pytest.mark.parametrize("name", one_of_each_source(), indirect=True)  # an export takes seconds
def test_can_be_exported(name, small_on_meta):
    inputs = video(name, smallest_clip(name)).to("meta")
    exported = torch.export.export(small_on_meta.net, (inputs,))
    assert exported.module()(inputs).shape == (1, 2)


def test_what_is_published_has_its_source(name):
    card = model_module(name).CARD
    assert card.source
    assert all(value.source for value in card.published)
    if any(value.metric in ("top1_percent", "top5_percent") for value in card.published):
        assert card.views is not None, "accuracies are means over views: say which"
    check_options(name, {}, card.clip)


def test_cards_are_read_without_torch():
    names = "".join(f"model_module({name!r});" for name in BASELINES)
    program = (
        f"import sys; from dynamonet.models.catalogue import model_module; {names} sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])
