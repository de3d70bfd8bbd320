import sys

import pytest

from dynamonet.errors import UserError
from dynamonet.expansion import expand
from dynamonet.models import catalogue
from dynamonet.published import read_ledger
from dynamonet.study import load_study

SOURCE = """
from dynamonet.models.card import Clip, ModelCard
CARD = ModelCard(title={title!r}, clip=Clip(frames=4, stride=2, crop=24), source="here")
def check(clip):
    if clip.frames % 4:
        raise ValueError(f"clip.frames is {{clip.frames}}, and must be a multiple of 4")
def build(num_classes, clip):
    pass
"""


@pytest.fixture
def files(tmp_path, monkeypatch):
    """`files(name=source, ...)` puts files into baselines/, in which there are no others."""
    import baselines

    folder = tmp_path / "baselines"
    folder.mkdir()
    monkeypatch.setattr(catalogue, "BASELINES", folder)
    monkeypatch.setattr(baselines, "__path__", [str(folder)])

    written = []

    def write(**sources: str) -> None:
        for name, source in sources.items():
            (folder / f"{name}.py").write_text(source)
            written.append(f"baselines.{name}")

    yield write
    for module in written:
        sys.modules.pop(module, None)


@pytest.fixture
def study(tiny) -> dict:
    """One experiment, on DynamoNet and every baseline."""
    tiny["models"] = {"dynamonet": tiny["models"]["dynamonet"]}
    tiny["experiments"] = {"kinetics400": {**tiny["experiments"]["kinetics400"], "models": ["dynamonet", "baselines"]}}
    return {**tiny, "claims": {}}


def models(study: dict) -> list[str]:
    return [run["model"] for run in expand(load_study(study)).experiments["kinetics400"]]


def test_every_file_joins_with_the_clip_of_its_card_or_the_study(files, study):
    files(b_net=SOURCE.format(title="B"), a_net=SOURCE.format(title="A"), _shared="x = 1")
    assert models(study) == ["dynamonet", "a_net", "b_net"]
    assert load_study(study).clip("a_net").crop == 24
    study["baselines"] = {"clip": {"frames": 8, "crop": 32}}
    assert load_study(study).clip("a_net").crop == 32


def test_a_file_that_is_named_or_left_out_does_not_join(files, study):
    files(a_net=SOURCE.format(title="A"), b_net=SOURCE.format(title="B"), c_net=SOURCE.format(title="C"))
    study["models"]["mine"] = {"build": "a_net", "title": "mine"}
    study["baselines"] = {"leave_out": ["b_net"]}
    assert models(study) == ["dynamonet", "c_net"]


@pytest.mark.parametrize(
    ("name", "source", "said"),
    [
        ("new", "CARD = (", "baselines/new.py does not import: SyntaxError"),
        ("new", "import nowhere_to_be_found", "baselines/new.py does not import: ModuleNotFoundError"),
        ("new", "def build(num_classes, clip): pass", "baselines/new.py has no CARD"),
        (
            "new",
            SOURCE.format(title="N").replace('source="here"', ""),
            "baselines/new.py does not import: ModelCard: sou",
        ),
        ("new", SOURCE.format(title="Good"), "baselines/new.py: its title 'Good' is that of good: give it another"),
        (
            "new",
            SOURCE.format(title="N").replace("4, stride", "6, stride"),
            "baselines/new.py: model 'new': clip.frames is 6",
        ),
        (
            "new",
            SOURCE.format(title="N").replace("check(clip)", "check(clip, width)"),
            "baselines/new.py: baselines/new.py: its check(clip, **options) fails: TypeError",
        ),
        ("dynamonet", SOURCE.format(title="N"), None),
    ],
)
def test_a_broken_file_is_said_in_one_sentence_and_breaks_nothing_else(files, study, capsys, name, source, said):
    files(good=SOURCE.format(title="Good"), **{name: source})
    if said is None:  # DynamoNet itself is asked for, and there are two
        with pytest.raises(UserError, match=r"baselines/dynamonet.py has the name of the model in dynamonet/models"):
            load_study(study)
        return
    assert models(study) == ["dynamonet", "good"]
    (line,) = set(capsys.readouterr().err.splitlines())
    assert line.startswith(f"left out: {said}")
    assert load_study(study).broken_baselines["new"].startswith(said)


def test_a_broken_file_that_is_asked_for_is_refused(files, study, capsys):
    files(good=SOURCE.format(title="Good"), new="CARD = (")
    study["models"]["new"] = {"build": "new"}
    with pytest.raises(UserError, match=r"models.new: baselines/new.py does not import"):
        load_study(study)
    assert not capsys.readouterr().err, "no other file is to blame"


def test_a_broken_file_leaves_the_numbers_on_the_cards_of_others(files, tmp_path):
    number = 'published=(dict(metric="parameters_m", value=1.0, source="here"),), source='
    files(good=SOURCE.format(title="Good").replace("source=", number), new="CARD = (")
    ledger = tmp_path / "claims.yaml"
    ledger.write_text("tolerances: {parameters_m: 1}\npublished: {}\n")
    assert set(read_ledger(ledger).published) == {"good.parameters_m"}


@pytest.mark.parametrize("entry", [{}, {"build": ["new"]}, {"build": "nothing"}])
def test_an_entry_that_names_no_model_is_refused(files, study, capsys, entry):
    files(good=SOURCE.format(title="Good"))
    study["models"]["wrong"] = entry
    with pytest.raises(UserError, match=r"models\.wrong"):
        load_study(study)
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"baselines": {"leave_out": ["nothing"]}}, "baselines.leave_out: there is no 'nothing'"),
        ({"baselines": {"clip": {"frames": 0, "crop": 32}}}, "baselines.clip.frames"),
        ({"broken_baselines": {}}, "broken_baselines: is found out, not set"),
    ],
)
def test_wrong_settings_are_refused(files, study, settings, said):
    files(good=SOURCE.format(title="Good"))
    with pytest.raises(UserError, match=said):
        load_study({**study, **settings})
