import pytest
from synthetic_study import NEVER, default_top1, plan, planned_run, write_study

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


def test_rows_have_intervals_over_evaluated_independent_units_of_their_own_data_set(tmp_path):
    study = plan(models=2, datasets=3)
    item = "Results have intervals"

    def said(name, *runs):
        study["experiments"] = {"main": {**study["experiments"]["main"], "runs": runs}}
        return answers(write_study(tmp_path / name, study | {"claims": {}}))[item]

    one_each = [planned_run("dynamonet", dataset, 1, 0) for dataset in ("ucf101", "hmdb51", "kinetics")]
    assert said("one run each", *one_each)[0] == "no"
    assert said("one run each", *one_each)[1].startswith("0 of 3 rows have 3 or more evaluated seeds")
    three_splits = [planned_run("dynamonet", "ucf101", split, 0) for split in (1, 2, 3)]
    assert said("three splits", *three_splits)[0] == "yes"
    two_seeds = [planned_run("dynamonet", "ucf101", split, seed) for split in (1, 2, 3) for seed in (0, 1)]
    assert said("two seeds", *two_seeds)[0] == "no"  # the splits of a seed share videos


def test_a_stale_result_and_the_fast_tier_are_no_yes(tmp_path, study):
    write_study(tmp_path, study)
    changed = next((tmp_path / "runs").glob("no_dmr-*"))
    for path in (tmp_path / "runs").glob("*/fit.json"):
        tier = "fast" if path.parent == changed else "bit-identical"
        record = read_json(path)
        record["provenance"]["determinism"] = {"tier": tier}
        write_json(path, record)
    path = changed / "evaluate.json"
    write_json(path, {**read_json(path), "weights_sha256": "f" * 64})
    said = answers(tmp_path)
    for item in ("No result is stale", "Bit-identical when repeated"):
        assert said[item][0] == "in part"
        good, of = map(int, said[item][1].split()[:3:2])
        assert good == of - 1


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
    assert said["Every planned run is there"][0] == said["Results have intervals"][0] == "no"
    assert said["One version of the code"] == ("no", "no run")
