import pytest
from synthetic_study import NEVER, default_top1, plan, write_study

from dynamonet.files import read_json, write_json
from dynamonet.report.checklist import checklist_table
from dynamonet.report.collect import read_study


@pytest.fixture
def study() -> dict:
    return plan(models=3, datasets=1)


def answers(directory) -> dict[str, tuple[str, str]]:
    table = checklist_table(read_study(directory)).tidy
    return {row["item"]: (row["holds"], row["evidence"]) for row in table.to_dict("records")}


def test_what_holds_is_answered_with_its_evidence(tmp_path, study):
    said = answers(write_study(tmp_path, study))
    runs = len({run["run"] for experiment in study["experiments"].values() for run in experiment["runs"]})
    assert said["Every planned run is there"] == ("yes", f"{runs} of {runs} runs are evaluated")
    assert said["No result is stale"][0] == "yes"
    holds, evidence = said["UCF101 (motion): every listed video is used"]
    assert holds == "in part" and evidence.startswith("94 of 95 videos decode; manifest ")
    assert said["Splits are stated"] == ("yes", "UCF101 (motion): 1, 2, 3")


def test_a_missing_run_and_a_changed_checkout_are_no_yes(tmp_path, study):
    first = study["experiments"]["main"]["runs"][0]["run"]
    write_study(tmp_path, study, lambda run: NEVER if run["run"] == first else default_top1(run))
    path = next(path for path in (tmp_path / "runs").glob("*/fit.json"))
    record = read_json(path)
    record["provenance"] |= {"git_dirty": True, "git_commit": "f" * 40}
    write_json(path, record)
    said = answers(tmp_path)
    assert said["Every planned run is there"][0] == "in part"
    assert said["No uncommitted changes"][0] == "in part"
    assert (
        said["One version of the code"][0] == "in part"
        and "ffffffffffff (1 runs)" in said["One version of the code"][1]
    )


def test_a_study_without_runs_answers_no(tmp_path, study):
    said = answers(write_study(tmp_path, study, lambda run: NEVER))
    assert {
        said[item][0] for item in ("Every planned run is there", "One version of the code", "Results have intervals")
    } <= {
        "no",
        "yes",
    }
    assert said["Every planned run is there"][0] == "no"
    assert said["One version of the code"] == ("no", "no run")
