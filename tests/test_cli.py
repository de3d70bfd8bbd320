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


def test_a_report_is_of_a_study_and_of_nothing_beside_it(tmp_path, capsys):
    assert main(["report", "--spec", str(tmp_path / "study.jso")]) == 2
    assert "study.jso: a report is of a study" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["fly"], ["prepare", "--spec", "x", "--workers", "0"], ["train"]])
def test_wrong_arguments_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as exit_status:
        main(arguments)
    assert exit_status.value.code == 2
    assert "Traceback" not in capsys.readouterr().err
