import itertools
import os
from contextlib import nullcontext
from pathlib import Path

import killing
import pytest
import torch
from damages import another_model, another_version, cut_off, flip_a_bit, forge, list_of_numbers, noise

from dynamonet.engine.checkpoint import load_checkpoint, remove_checkpoints, save_checkpoint
from dynamonet.errors import UserError
from dynamonet.files import read_json, sha256_file

LIKE = {"origin": {"spec": "a"}, "step": 0, "model": {"fc.weight": torch.zeros(3), "fc.bias": torch.zeros(1)}}


def save(folder: Path, step: int, **changes) -> Path:
    """A checkpoint whose every value tells its step; returns the file."""
    model = {"fc.weight": torch.full((3,), float(step)), "fc.bias": torch.full((1,), float(step))}
    save_checkpoint(Path(folder), step, {"origin": LIKE["origin"], "step": step, "model": model, **changes})
    return Path(folder) / f"step-{step:08d}.pt"


DAMAGES = {
    flip_a_bit: "is damaged",
    cut_off: "is damaged",
    Path.unlink: r"cannot be read \(No such file or directory\)",
    noise: "holds something else than tensors and plain values",
    list_of_numbers: "holds something else than the state of a fit",
    another_model: r"another model .*1 keys of another shape, first 'fc\.weight'",
    another_version: "another model or version .*without step",
}


def test_the_newest_is_loaded_and_two_are_kept(tmp_path):
    for step in (2, 4, 6):
        save(tmp_path, step)
    assert load_checkpoint(tmp_path)["step"] == 6
    assert sorted(path.name for path in tmp_path.glob("*.pt")) == ["step-00000004.pt", "step-00000006.pt"]


def test_none_without_any(tmp_path):
    assert load_checkpoint(tmp_path) is None


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_one_is_refused_by_name_and_the_older_used(tmp_path, capsys, damage):
    save(tmp_path, 2)
    newest = save(tmp_path, 4)
    damage(newest)
    assert load_checkpoint(tmp_path, LIKE)["step"] == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert sentence.startswith(f"{newest} ")
    assert sentence.endswith("going on from step-00000002.pt instead")


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_where_none_is_whole_one_sentence_says_so_and_nothing_is_removed(tmp_path, damage):
    files = save(tmp_path, 2), save(tmp_path, 4)
    for path in files:
        damage(path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UserError, match=DAMAGES[damage]) as refusal:
        load_checkpoint(tmp_path, LIKE)
    sentence = str(refusal.value)
    assert all(str(path) in sentence for path in files)
    assert sentence.endswith(f": remove {tmp_path} to start anew")
    assert "\n" not in sentence
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_state_of_other_inputs_is_handed_over_whatever_its_tensors(tmp_path):
    save(tmp_path, 2, origin={"spec": "b"}, model={})
    assert load_checkpoint(tmp_path, LIKE)["origin"] == {"spec": "b"}


def test_a_damaged_one_does_not_take_the_place_of_a_whole_one(tmp_path):
    save(tmp_path, 2)
    flip_a_bit(save(tmp_path, 4))
    cut_off(save(tmp_path, 3))  # the fit has gone on from step 2 and was stopped a step later
    assert load_checkpoint(tmp_path)["step"] == 2


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
def test_code_in_a_checkpoint_is_not_run_even_if_the_checksum_fits(tmp_path, zipped):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "boom"),)

    path = save(tmp_path, 2)
    state = {"origin": LIKE["origin"], "step": 2, "model": Bomb()}
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    forge(path, path.read_bytes())
    with pytest.raises(UserError, match=r"step-00000002\.pt holds something else than tensors and plain values: "):
        load_checkpoint(tmp_path, LIKE)
    assert not (tmp_path / "boom").exists()
    torch.load(path, weights_only=False)  # it would have gone off
    assert (tmp_path / "boom").exists()


@pytest.mark.parametrize(
    "content",
    [
        "",
        '[{"file": "step-0000',
        "[]",
        "7",
        "{}",
        '{"file": "step-00000002.pt"}',
        '[{"file": "step-00000002.pt", "step": 2}]',
        '[{"file": "step-00000002.pt", "step": "2", "sha256": "SHA"}]',
        '[{"file": "../step-00000002.pt", "step": 2, "sha256": "SHA"}]',
        '[{"file": "/etc/passwd", "step": 2, "sha256": "SHA"}]',
        b"\xff\xfe",
    ],
)
def test_a_damaged_pointer_is_refused_by_name(tmp_path, content):
    folder = tmp_path / "checkpoints"
    sha256 = sha256_file(save(folder, 2))
    save(tmp_path, 2)  # what a pointer to elsewhere would find
    pointer = folder / "latest.json"
    pointer.write_bytes(content if isinstance(content, bytes) else content.replace("SHA", sha256).encode())
    with pytest.raises(UserError) as refusal:
        load_checkpoint(folder)
    assert str(refusal.value) == f"{pointer} is damaged: remove {folder} to start anew"
    assert (folder / "step-00000002.pt").exists()


def test_killed_before_any_of_its_changes_a_save_leaves_the_checkpoint_before_it_or_the_new_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = []
    for change in itertools.count():
        folder = tmp_path / str(change)
        for step in (2, 4):
            save(folder, step)
        attempt = killing.run(save, str(folder), 6, before_change=change)
        assert all((folder / entry["file"]).is_file() for entry in read_json(folder / "latest.json"))
        state = load_checkpoint(folder)
        assert set(state["model"]["fc.weight"].tolist()) == {state["step"]}
        found.append(state["step"])
        save(folder, 8)
        assert load_checkpoint(folder)["step"] == 8
        # what the kill has left half-written is gone, small pointers apart
        assert {path.name for path in folder.glob("*.pt")} == {"step-00000008.pt", f"step-{state['step']:08d}.pt"}
        if not attempt.killed:
            break
    assert attempt.status == 0, attempt.stderr
    assert found == sorted(found)
    assert found.count(4) >= 8
    assert found.count(6) >= 2


def remove_backwards(folder: Path) -> None:
    """As on a file system that lists a folder's files in the opposite order."""
    scandir = os.scandir
    os.scandir = lambda path: nullcontext(list(scandir(path))[::-1])
    remove_checkpoints(folder)


@pytest.mark.parametrize("remove", [remove_checkpoints, remove_backwards])
def test_killed_before_any_of_its_changes_a_removal_leaves_nothing_that_a_fit_stumbles_over(
    tmp_path, monkeypatch, remove
):
    monkeypatch.chdir(tmp_path)
    for change in itertools.count():
        folder = tmp_path / str(change)
        save(folder, 2)
        save(folder, 4)
        attempt = killing.run(remove, folder, before_change=change)
        state = load_checkpoint(folder)
        assert state is None or state["step"] == 4
        if not attempt.killed:
            break
    assert attempt.status == 0, attempt.stderr
    assert not folder.exists()
    assert change >= 4


def test_a_damaged_one_is_forgotten_once_the_older_has_been_used(tmp_path, capsys):
    whole, damaged = save(tmp_path, 50), save(tmp_path, 53)
    flip_a_bit(damaged)
    assert load_checkpoint(tmp_path)["step"] == 50
    newest = save(tmp_path, 100)
    assert whole.exists()
    flip_a_bit(newest)
    assert load_checkpoint(tmp_path)["step"] == 50
