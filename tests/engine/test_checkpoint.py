import torch

from dynamonet.engine.checkpoint import load_checkpoint, save_checkpoint


def test_the_newest_is_loaded_and_two_are_kept(tmp_path):
    for step in (2, 4, 6):
        save_checkpoint(tmp_path, step, {"step": step, "weight": torch.full((2,), step)})
    assert load_checkpoint(tmp_path)["step"] == 6
    assert sorted(path.name for path in tmp_path.glob("*.pt")) == ["step-00000004.pt", "step-00000006.pt"]


def test_a_damaged_one_is_refused_by_name_and_the_older_used(tmp_path, capsys):
    for step in (2, 4):
        save_checkpoint(tmp_path, step, {"step": step})
    newest = tmp_path / "step-00000004.pt"
    newest.write_bytes(newest.read_bytes()[:-1])
    assert load_checkpoint(tmp_path)["step"] == 2
    assert "step-00000004.pt is missing or damaged" in capsys.readouterr().err


def test_none_without_any(tmp_path):
    assert load_checkpoint(tmp_path) is None


def test_code_is_not_unpickled(tmp_path):
    import pytest

    class Bomb:
        def __reduce__(self):
            return (print, ("boom",))

    save_checkpoint(tmp_path, 1, {"bomb": Bomb()})
    with pytest.raises(Exception, match=r"[Ww]eights"):
        load_checkpoint(tmp_path)
