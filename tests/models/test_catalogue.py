"""The catalogue and its contract; what every baseline must do is in tests/baselines."""

import sys
from datetime import date

import pytest
import torch

from dynamonet.errors import UserError
from dynamonet.models import catalogue
from dynamonet.models.card import Clip, ModelCard
from dynamonet.models.catalogue import check_options, model_module, model_names
from dynamonet.models.classifier import build_classifier, check_output


@pytest.mark.parametrize("name", catalogue.OWN)
def test_trains_on_a_small_clip(name, raft_weights):
    torch.manual_seed(0)
    clip = Clip(frames=8, crop=64)
    model = build_classifier(name, 3, {}, clip)
    output = model(torch.rand(2, model_module(name).CARD.channels, clip.frames, clip.crop, clip.crop))
    assert output.logits.shape == (2, 3)
    output.logits.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", catalogue.OWN)
def test_gives_logits_not_probabilities(name, raft_weights):
    torch.manual_seed(0)
    model = build_classifier(name, 3, {}, Clip(frames=8, crop=64)).eval()
    with torch.no_grad():
        logits = model(torch.rand(1, model_module(name).CARD.channels, 8, 64, 64)).logits
    assert not torch.allclose(logits.sum(1), torch.ones(1), atol=1e-4)


CLIP = Clip(frames=8, crop=32)
SOURCE = """
from dynamonet.models.card import Clip, ModelCard
CARD = ModelCard(title="T", clip=Clip(frames=8, crop=32), source="here"{card})
def build({parameters}):
    import torch
    assert sizes != (0,)
    net = torch.nn.Flatten()
    net.options = (sizes, anything)
    return net
RELEASES = {releases}
"""


@pytest.fixture
def baseline(tmp_path, monkeypatch):
    """`baseline(source)`: the name of a model of that source."""
    import baselines

    monkeypatch.setattr(catalogue, "BASELINES", tmp_path)
    monkeypatch.setattr(baselines, "__path__", [str(tmp_path), *baselines.__path__])

    def written(source: str) -> str:
        (tmp_path / "new.py").write_text(source)
        return "new"

    yield written
    sys.modules.pop("baselines.new", None)


def source(parameters="num_classes, clip, sizes: tuple = (1, (2, 3)), anything=None", card="", releases="{}"):
    return SOURCE.format(parameters=parameters, card=card, releases=releases)


RELEASED = ", released=dict(url='https://example.org/a.pth', format='theirs')"


def test_options_are_checked_without_building():
    check_options("slow_r50", {"width": 8}, CLIP)
    with pytest.raises(UserError, match="no option 'depth'"):
        check_options("slow_r50", {"depth": 8}, CLIP)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def build(:", "does not import: SyntaxError"),
        ("def build(num_classes): pass", "has no CARD"),
        ("from baselines.slow_r50 import CARD", r"has no function build\(num_classes, clip"),
        (source(card=", stored_flow=True"), "does not import: ModelCard: Value error, mean has 3 values"),
        (source("num_classes, clip, width"), "parameter width of build is an option of the model: give it a default"),
        (source("num_classes, clip, width=object()"), "parameter width of build is an option"),
        (source("num_classes, clip, **options"), r"build takes \*\*options: name each option there"),
        (source("num_classes, clip, *sizes"), r"build takes \*sizes: name each option there"),
        (source("num_classes, sizes=1"), "build does not take clip: name them as parameters"),
        (source("sizes=1"), "build does not take clip and num_classes"),
        ("CARD = 'Tiny C3D'", r"has no CARD = ModelCard\(...\)"),
        (source() + "build = 3", "has no function build"),
        (source() + "check = 3", "check is no function"),
        (source(releases="3"), "RELEASES is no mapping"),
        (source(releases="{'theirs': 'model_state'}"), "RELEASES is no mapping from formats"),
        (source(card=RELEASED), "its CARD names released weights of format theirs: add that to RELEASES"),
        (source(card=", recipe_overrides={'optimizer': 'adamw'}"), "does not import: ModelCard: recipe_overrides.opti"),
        ("raise RuntimeError('two\\nlines')", "does not import: RuntimeError: two lines"),
        ("raise SystemExit(3)", "does not import: SystemExit: 3"),
        (source().replace('"T"', '""'), "does not import: ModelCard: title"),
    ],
    ids=lambda value: value if " " not in value else "",
)
def test_a_broken_baseline_is_named(baseline, text, said):
    name = baseline(text)
    assert name in model_names()
    with pytest.raises(UserError, match=rf"^baselines/new\.py:? {said}") as refusal:
        model_module(name)
    assert "\n" not in str(refusal.value)


def test_a_broken_module_of_the_projects_own_is_named_by_its_file(monkeypatch):
    monkeypatch.setitem(catalogue.OWN, "new", "dynamonet.models.new")
    with pytest.raises(UserError, match=r"^dynamonet/models/new\.py does not import: ModuleNotFoundError"):
        model_module("new")


@pytest.mark.parametrize("value", [None, True, 3, 0.5, "mean", [1, [2]], {"a": [1]}])
def test_an_option_without_a_value_by_default_takes_any_that_a_study_file_holds(baseline, value):
    name = baseline(source())
    assert build_classifier(name, 3, {"anything": value}, CLIP).net.options == ((1, (2, 3)), value)


def test_a_list_is_a_tuple_where_the_default_is_one(baseline):
    name = baseline(source())
    for sizes in ([4, [5, 6]], (4, (5, 6))):
        assert build_classifier(name, 3, {"sizes": sizes}, CLIP).net.options == ((4, (5, 6)), None)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sizes": 3}, "option sizes is 3, which is not of type tuple"),
        ({"sizes": [date(2019, 1, 1)]}, "option sizes is .*, which no spec can hold"),
        ({"anything": date(2019, 1, 1)}, "option anything is .*, which no spec can hold"),
        ({"anything": float("nan")}, "option anything is nan, which no spec can hold"),
        ({"anything": {1: 2}}, "option anything is .*, which no spec can hold"),
    ],
)
def test_an_option_that_no_spec_can_hold_is_named(baseline, options, said):
    name = baseline(source())
    with pytest.raises(UserError, match=said):
        check_options(name, options, CLIP)


def test_what_build_asserts_is_said_in_one_sentence(baseline):
    name = baseline(source())
    with pytest.raises(UserError, match=r"model 'new' refuses options .*: AssertionError"):
        build_classifier(name, 3, {"sizes": [0]}, CLIP)


def test_a_broken_baseline_breaks_no_other(baseline):
    name = baseline("raise RuntimeError")
    (catalogue.BASELINES / "other.py").write_text(source())
    assert model_names() == [*catalogue.OWN, "new", "other"]
    assert "baselines.other" not in sys.modules
    assert model_module("other").CARD.title == "T"
    del sys.modules["baselines.other"]
    with pytest.raises(UserError, match=r"^baselines/new\.py does not import"):
        model_module(name)


def test_a_baseline_with_the_name_of_the_projects_own_model_is_refused(baseline):
    baseline(source())
    (catalogue.BASELINES / "new.py").rename(catalogue.BASELINES / "dynamonet.py")
    said = r"^baselines/dynamonet\.py has the name of the model in dynamonet/models/dynamonet\.py: give it another"
    with pytest.raises(UserError, match=said):
        model_module("dynamonet")
    assert model_module("two_stream_raft")


NETWORK = """
from dynamonet.models.card import Clip, ModelCard
CARD = ModelCard(title="T", clip=Clip(frames=8, crop=32), source="here")
def build(num_classes, clip):
    import torch
    class Net(torch.nn.Module):
        def forward(self, video):
            {forward}
    {end}
"""


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("return 3", r"^baselines/new\.py: build returns int, and not a torch\.nn\.Module"),
        ("return Net", r"^baselines/new\.py: build returns type, and not a torch\.nn\.Module"),
        ("return {}['layer']", "^model 'new' refuses options {} for clip .*: 'layer'"),
        ("import no_such_package", "^model 'new' refuses options {} for clip .*: No module named 'no_such_package'"),
    ],
)
def test_what_build_does_wrong_is_said_in_one_sentence(baseline, end, said):
    name = baseline(NETWORK.format(forward="pass", end=end))
    with pytest.raises(UserError, match=said):
        build_classifier(name, 3, {}, CLIP)


@pytest.mark.parametrize(
    ("forward", "said"),
    [
        ("return video.mean((2, 3, 4))[:, :2]", r"for 2 clips and 3 classes its network gives \(2, 2\): return logits"),
        ("return video.mean((2, 3))", r"its network gives \(2, 3, 32\)"),
        ("return video.mean()", r"its network gives \(\)"),
        ("return [video]", "its network returns list: return a tensor of logits"),
        ("return video.mean((2, 3, 4)) / 0", "its network gives logits that are not finite"),
        ("return self.fc(video)", r"its network fails on a clip of \(3, 8, 32, 32\): AttributeError: .*'fc'"),
    ],
)
def test_a_wrong_output_is_named_with_its_file_at_first_use(baseline, forward, said):
    model = build_classifier(baseline(NETWORK.format(forward=forward, end="return Net()")), 3, {}, CLIP).train()
    with pytest.raises(UserError, match=rf"^baselines/new\.py: .*{said}"):
        check_output(model, torch.rand(2, 3, 8, 32, 32))
    assert model.training


def test_a_2d_network_that_pools_frames_in_pairs_wants_two():
    with pytest.raises(ValueError, match=r"clip\.frames is 1: set it to 2 or more"):
        model_module("c2d_r50").build(3, Clip(frames=1, crop=32))
    with pytest.raises(UserError, match=r"clip\.frames is 1"):
        check_options("c2d_r50", {}, Clip(frames=1, crop=32))
    model = build_classifier("c2d_r50", 3, {"width": 8}, Clip(frames=2, crop=32)).eval()
    assert model(torch.rand(1, 3, 2, 32, 32)).logits.shape == (1, 3)


def test_every_card_names_its_source():
    for name in model_names():
        card = model_module(name).CARD
        assert isinstance(card, ModelCard)
        assert card.source
        assert all(value.source for value in card.published)
