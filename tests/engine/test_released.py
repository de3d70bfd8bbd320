import hashlib
import os
import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import three_d_resnets
import torch
from processes import weights_of
from tiny_study import OPTIONS

from dynamonet.engine.fit import fit
from dynamonet.engine.released import initialise_from_release
from dynamonet.errors import UserError
from dynamonet.files import read_json, write_json
from dynamonet.models.classifier import build_classifier
from dynamonet.spec import Checkpoint, load_spec

TINY = {"width": OPTIONS["width"], "frames": OPTIONS["stem_frames"]}
PLAIN = {**OPTIONS, "prediction": False, "dmr_features": 0}


def saved(state: dict, path: Path, prefix: str = "module.", zipped: bool = True) -> Path:
    """The state as the repository saves it: from DataParallel, with the optimiser's."""
    parameter = torch.nn.Parameter(torch.zeros(3))
    optimiser = torch.optim.SGD([parameter], lr=0.1, momentum=0.9)
    parameter.sum().backward()
    optimiser.step()
    state = OrderedDict((prefix + key, value) for key, value in state.items())
    content = {"epoch": 200, "arch": "resnet-10", "state_dict": state, "optimizer": optimiser.state_dict()}
    content["scheduler"] = torch.optim.lr_scheduler.MultiStepLR(optimiser, [50, 100]).state_dict()
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


@pytest.fixture
def released(prepared, tmp_path):
    """`released(path, **settings)`: the spec of a run that starts from that file."""

    def spec_of(path: Path, model: str = "backbone", classifier: bool = False, **settings) -> Path:
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        checkpoint = Checkpoint(name="r3d10", format="3d_resnets", sha256=sha256, classifier=classifier)
        spec = load_spec(prepared("kinetics400", model=model))
        spec = spec.model_copy(update={"checkpoint": checkpoint, **settings})
        folder = tmp_path / "results/tiny"
        write_json(folder / "checkpoints/r3d10.spec.json", {"checkpoint": "r3d10", "path": str(path)})
        spec.save(folder / "runs" / spec.run / "spec.json")
        return folder / "runs" / spec.run / "spec.json"

    return spec_of


@pytest.fixture
def file(tmp_path) -> Path:
    torch.manual_seed(0)
    return saved(three_d_resnets.random_state("resnet", 10, 12, **TINY), tmp_path / "resnet-10.pth")


def start(spec_path: Path):
    spec = load_spec(spec_path)
    torch.manual_seed(1)
    net = build_classifier(spec.build, 12, spec.options, spec.clip).net
    before = {key: value.clone() for key, value in net.state_dict().items()}
    return net, before, initialise_from_release(net, spec, spec_path.parents[2])


@pytest.mark.parametrize(("prefix", "zipped"), [("module.", False), ("", True)])  # as of 2017, as of 2020
def test_every_parameter_of_the_backbone_comes_from_the_file(released, tmp_path, prefix, zipped):
    state = three_d_resnets.random_state("resnet", 10, 400, **TINY)
    net, before, init = start(released(saved(state, tmp_path / "net.pth", prefix, zipped)))
    after = net.state_dict()
    taken = {key for key in state if not key.startswith("fc.")}
    assert all(torch.equal(after[f"backbone.{key}"], state[key]) for key in taken)
    assert torch.equal(after["fc.weight"], before["fc.weight"])
    # what is matched in neither direction, by name: files of 2017 have no counters of batches
    assert set(init["fresh"]) == set(after) - {f"backbone.{key}" for key in taken}
    assert {key for key in init["fresh"] if not key.endswith("num_batches_tracked")} == {"fc.weight", "fc.bias"}
    assert init["left_out"] == [f"{prefix}fc.weight", f"{prefix}fc.bias"]


@pytest.mark.parametrize(
    ("kind", "depth", "shortcut", "width"), [("resnet", 18, "A", 4), ("resnext", 50, "B", 16), ("resnet", 50, "B", 4)]
)
def test_a_network_with_the_files_classifier_gives_the_repositorys_scores(
    released, tmp_path, kind, depth, shortcut, width
):
    torch.manual_seed(0)
    network = {"width": width, "cardinality": 4, "shortcut": shortcut}
    state = three_d_resnets.random_state(kind, depth, 12, **network)
    options = {**PLAIN, **network, "backbone": kind, "depth": depth, "stem_frames": 7}
    options["normalisation"] = "3d_resnets_2018"
    net, _, init = start(released(saved(state, tmp_path / "net.pth"), classifier=True, options=options))
    assert init["left_out"] == []
    video = torch.rand(1, 3, 8, 32, 32)
    pixels = 255 * video - torch.tensor([114.7748, 107.7354, 99.4750]).view(1, 3, 1, 1, 1)
    with torch.no_grad():
        found = net.eval()(video).logits
    torch.testing.assert_close(
        found, three_d_resnets.logits(state, pixels, kind, depth, **network), rtol=1e-3, atol=1e-3
    )


def test_gates_that_no_file_has_start_fresh_and_are_reported(released, file, tmp_path):
    options = {**PLAIN, "stc": True, "stc_reduction": 4}
    net, before, init = start(released(file, options=options))
    after, theirs = net.state_dict(), torch.load(file, weights_only=True)["state_dict"]
    gates = {key for key in after if ".stc." in key}
    assert len(gates) == 4 * 8
    assert gates <= set(init["fresh"])
    assert all(torch.equal(after[key], before[key]) for key in gates)
    taken = {key for key in theirs if not key.startswith("module.fc.")}
    assert all(torch.equal(after[key.replace("module", "backbone", 1)], theirs[key]) for key in taken)
    incomplete = without({key.removeprefix("module."): theirs[key] for key in theirs}, "layer1.0.conv2.weight")
    with pytest.raises(UserError, match=r"1 parameters are missing in the file, first 'backbone\.layer1\.0\.conv2"):
        start(released(saved(incomplete, tmp_path / "incomplete.pth"), options=options))


def test_a_fit_starts_from_the_file_and_says_so(released, file, capsys):
    spec_path = released(file, model="dynamonet")
    fit(spec_path)
    said = capsys.readouterr().err
    init = read_json(spec_path.parent / "fit.json")["provenance"]["init"]
    assert init["checkpoint"] == "r3d10"
    assert init["weights_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert any(key.startswith("generator.") for key in init["fresh"])
    assert all(key in said for key in (*init["fresh"], *init["left_out"]))
    theirs = torch.load(file, weights_only=True)["state_dict"]["module.conv1.weight"]
    ours = weights_of(spec_path)["backbone.conv1.weight"]
    assert torch.nn.functional.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0) > 0.95  # after six steps


def without(state, key):
    return {name: value for name, value in state.items() if name != key}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda state: without(state, "layer1.0.conv2.weight"),
            "missing in the file, first 'backbone.layer1.0.conv2.w",
        ),
        (lambda state: {**state, "layer1.1.conv1.weight": torch.zeros(4, 4, 3, 3, 3)}, "unknown to the model, first"),
        (
            lambda state: {**state, "conv1.weight": torch.zeros(4, 3, 7, 7, 7)},
            "of another shape there, first 'backbone",
        ),
    ],
)
def test_a_file_of_another_architecture_is_refused_with_its_first_parameter(released, tmp_path, change, said):
    state = change(three_d_resnets.random_state("resnet", 10, 12, **TINY))
    with pytest.raises(UserError, match=said) as refusal:
        start(released(saved(state, tmp_path / "other.pth")))
    assert str(tmp_path / "other.pth") in str(refusal.value)


def test_a_deeper_networks_file_is_refused(released, tmp_path):
    state = three_d_resnets.random_state("resnet", 18, 12, **TINY)
    with pytest.raises(UserError, match=r"unknown to the model, first 'backbone\.layer1\.1\.conv1\.weight'"):
        start(released(saved(state, tmp_path / "deeper.pth")))


def test_a_classifier_of_other_classes_is_refused_where_it_is_asked_for(released, tmp_path):
    state = three_d_resnets.random_state("resnet", 10, 400, **TINY)
    with pytest.raises(
        UserError, match=r"net.pth classifies 400 classes, and data set kinetics400 has 12: evaluate it"
    ):
        start(released(saved(state, tmp_path / "net.pth"), classifier=True))


@pytest.mark.parametrize("part", ["fc", "layer4"])
def test_what_is_evaluated_as_it_is_has_no_part_that_the_seed_draws(released, tmp_path, part):
    state = three_d_resnets.random_state("resnet", 10, 12, **TINY)
    path = saved({key: value for key, value in state.items() if not key.startswith(part)}, tmp_path / "net.pth")
    if part == "fc":  # which a run that trains may draw
        start(released(path, classifier=True))
    with pytest.raises(UserError, match=rf"parameters are missing in the file, first '(backbone\.)?{part}\."):
        start(released(path, classifier=True, task="evaluate", recipe=None))


class Bomb:
    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def bomb(path: Path) -> None:
    torch.save({"state_dict": {"conv1.weight": Bomb(path.with_name("exploded"))}}, path)


def bare_bomb(path: Path) -> None:
    path.write_bytes(pickle.dumps(Bomb(path.with_name("exploded")), protocol=2))


def truncated(path: Path) -> None:
    saved(three_d_resnets.random_state("resnet", 10, 12, **TINY), path)
    path.write_bytes(path.read_bytes()[:-1000])


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (bomb, "is damaged, holds code, or is no PyTorch file"),
        (bare_bomb, "is damaged, holds code, or is no PyTorch file"),
        (truncated, "is damaged, holds code, or is no PyTorch file"),
        (lambda path: path.write_bytes(b""), "is damaged, holds code, or is no PyTorch file"),
        (lambda path: path.write_text("<html>quota exceeded</html>"), "is damaged, holds code, or is no PyTorch file"),
        (lambda path: torch.save(torch.zeros(3), path), "has no 'state_dict'"),
        (lambda path: torch.save({"state_dict": {}}, path), "has no 'state_dict'"),
        (lambda path: torch.save({"state_dict": {"conv1.weight": 3}}, path), "'conv1.weight' is no tensor"),
        (
            lambda path: torch.save({"state_dict": {k: torch.zeros(1) for k in ("a", "module.a")}}, path),
            "holds the parameter backbone.a twice",
        ),
    ],
)
def test_what_is_no_checkpoint_is_refused_in_one_sentence_and_not_run(released, tmp_path, write, said):
    path = tmp_path / "weights.pth"
    write(path)
    with pytest.raises(UserError, match=said) as refusal:
        start(released(path))
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "exploded").exists()


def test_a_file_that_has_changed_or_gone_is_refused(released, file):
    spec_path = released(file)
    content = file.read_bytes()
    file.write_bytes(content + b"\0")
    with pytest.raises(UserError, match=r"checkpoint r3d10: the SHA-256 of .*resnet-10\.pth is .*, the study says"):
        fit(spec_path)
    file.unlink()
    with pytest.raises(UserError, match=r"checkpoint r3d10: the file .*resnet-10\.pth does not exist"):
        fit(spec_path)
