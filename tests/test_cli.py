import pytest

from dynamonet.cli import main


@pytest.mark.parametrize("stage", ["motion", "prepare", "pretrain", "train", "evaluate", "measure", "report"])
def test_a_missing_spec_is_one_sentence_and_status_2(stage, tmp_path, capsys):
    assert main([stage, "--spec", str(tmp_path / "study.json")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert "study.json" in said
    assert not list(tmp_path.iterdir())


def test_specs_are_written_from_a_study_file(tiny_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["specs", "--study", str(tiny_file)]) == 0
    assert (tmp_path / "results/tiny/study.json").is_file()


def test_an_unknown_stage_is_refused(capsys):
    with pytest.raises(SystemExit) as exit_status:
        main(["fly"])
    assert exit_status.value.code == 2
