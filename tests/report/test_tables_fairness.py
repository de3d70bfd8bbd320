import pytest
from synthetic_study import plan, write_study

from dynamonet.report.collect import read_study
from dynamonet.report.tables_fairness import EQUAL, fairness_table


@pytest.fixture
def study() -> dict:
    return plan(models=3, datasets=1)


def rows_of(tmp_path, study: dict, experiment: str) -> dict:
    table = fairness_table(read_study(write_study(tmp_path, study))).tidy
    rows = table[table["experiment"] == experiment]
    return {(row["model"], row["init"], row["label_fraction"]): row for row in rows.to_dict("records")}


def test_a_comparison_under_equal_terms_differs_in_nothing(tmp_path, study):
    rows = rows_of(tmp_path, study, "main")
    assert len(rows) == 3
    assert {row["differs"] for row in rows.values()} == {EQUAL}
    assert {row["clips_seen"] for row in rows.values()} == {80}


def test_every_difference_is_named_with_both_values(tmp_path, study):
    study["models"]["no_dmr"]["clip"] = {"frames": 8, "stride": 2, "crop": 64}
    study["models"]["no_dmr"]["recipe_overrides"] = {"optimiser": "sgd", "steps": 20}
    for run in study["experiments"]["main"]["runs"]:
        if run["model"] == "fixed_filters":
            run["views"] = {"clips": 10, "crops": 3, "horizon": 1, "crop": 80, "short_side": 96}
    rows = rows_of(tmp_path, study, "main")
    assert rows["dynamonet", "scratch", 1.0]["differs"] == EQUAL
    assert rows["no_dmr", "scratch", 1.0]["differs"] == (
        "input: 8 × 2 × 64 for 16 × 1 × 64; clips seen: 160 for 80; steps: 20 for 10; optimiser: sgd for adamw"
    )
    assert rows["no_dmr", "scratch", 1.0]["recipe"] == "short+"
    assert rows["fixed_filters", "scratch", 1.0]["differs"] == (
        "test views: 10 × 3 of 80 px, short side 96 px for 2 × 1 of 64 px, short side 64 px"
    )


def test_what_the_start_has_seen_counts(tmp_path, study):
    rows = rows_of(tmp_path, study, "labels")
    after = rows["dynamonet", "pretrain", 0.1]
    assert after["clips_seen_before"] == 80
    assert "start: after pretrain for from scratch" in after["differs"]
    assert "clips seen before: 80 for 0" in after["differs"]
    assert "label fraction" in rows["dynamonet", "scratch", 1.0]["differs"]


def test_released_weights_have_seen_an_unknown_number_of_clips(tmp_path, study):
    study["experiments"]["main"]["runs"] = [
        {**run, "init": "released", "recipe": None} for run in study["experiments"]["main"]["runs"]
    ]
    table = fairness_table(read_study(write_study(tmp_path, study))).readable
    row = table[table["Experiment"] == "main"].iloc[0]
    assert (row["Clips seen before"], row["Clips seen"], row["Recipe"]) == ("–", "–", "–")
