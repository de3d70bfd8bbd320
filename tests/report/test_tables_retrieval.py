import pytest
import synthetic_study
from synthetic_study import NEVER, default_top1, write_study

from dynamonet.errors import UserError
from dynamonet.files import read_json, write_json
from dynamonet.report.collect import read_study
from dynamonet.report.tables import ablation_table, accuracy_table, frame_prediction_table, label_efficiency_table
from dynamonet.report.tables_records import runs_table, runtime_table
from dynamonet.report.tables_retrieval import retrieval_table


def by_seed(run: dict) -> float:
    """80, 82 and 84 % with seeds 0, 1 and 2."""
    return 0.8 + 0.02 * run["seed"]


def searched(tmp_path, top1=by_seed):
    return write_study(tmp_path, synthetic_study.plan(models=3, datasets=1), top1)


def change(directory, pattern, **values):
    for path in directory.glob(pattern):
        write_json(path, {**read_json(path), **values})


def test_retrieval_equals_the_values_by_hand(tmp_path):
    table = retrieval_table(read_study(searched(tmp_path)))
    row = table.tidy.set_index("model").loc["dynamonet"]
    assert (row["n"], row["videos_scored"], row["videos_listed"]) == (3, 300, 300)
    assert row["pooled_r1_mean_percent"] == pytest.approx(41)
    assert row["pooled_r1_sd_percent"] == pytest.approx(1)
    assert row["dmr_r20_mean_percent"] == pytest.approx(0.9 * 0.5 * 82)
    cells = table.readable.set_index("Model")
    assert cells.loc["DynamoNet R3D-10"].tolist() == [
        "UCF101 (motion)", "from scratch", "41.0 ± 1.0", "57.4", "65.6", "73.8", "20.5 ± 0.5", "28.7", "32.8", "36.9",
        "3", "300/300", "210/210",
    ]  # fmt: skip
    assert cells.loc["DynamoNet without DMR"].filter(like="DMR R@").tolist() == ["–"] * 4


def test_missing_and_stale_searches_are_marked(tmp_path):
    directory = searched(tmp_path, lambda run: NEVER if run["model"] == "no_dmr" or run["seed"] == 2 else by_seed(run))
    change(directory, "runs/retrieve-dynamonet*/retrieve.json", weights_sha256="f" * 64)
    study = read_study(directory)
    cells = retrieval_table(study).readable.set_index("Model")
    assert cells.loc["DynamoNet R3D-10", "pooled R@1"] == "40.5 ± 0.7†"
    assert cells.loc["DynamoNet R3D-10", "n"] == "2, missing 1 of 3"
    assert cells.loc["DynamoNet without DMR", ["pooled R@1", "pooled R@5", "Queries"]].tolist() == [
        "missing 3 of 3", "missing", "missing"
    ]  # fmt: skip
    stale = runs_table(study).tidy.set_index("run")["stale"].filter(like="retrieve-dynamonet")
    assert set(stale) == {"evaluated other weights than the fit left", ""}


def test_a_share_that_is_none_is_refused(tmp_path):
    directory = searched(tmp_path)
    change(directory, "runs/retrieve-dynamonet*/retrieve.json", metrics={"pooled": {"r1": 41.0}})
    with pytest.raises(UserError, match=r"retrieve\.json holds 41\.0 at 'metrics\.pooled\.r1'"):
        read_study(directory)


def test_what_is_searched_with_is_no_training(tmp_path):
    runtime = runtime_table(read_study(searched(tmp_path))).tidy.set_index("model").loc["dynamonet"]
    # of main, three splits; of the ablation two splits and three seeds; of labels, three seeds from each start: all
    # with all labels, less those that are the same run
    study = read_study(tmp_path)
    trained = study.runs[(study.runs["model"] == "dynamonet") & (study.runs["task"] == "train")]
    trained = trained[trained["label_fraction"] == 1].drop_duplicates("run")
    assert runtime["training_runs"] == runtime["training_runs_planned"] == len(trained)
    assert runtime["training_wall_s_mean"] == 61.5


def test_weights_evaluated_as_they_are_are_results_like_others(tmp_path):
    study = synthetic_study.plan(models=3, datasets=1)
    study["experiments"]["main"]["task"] = "evaluate"
    for run in study["experiments"]["main"]["runs"]:
        run["run"] = f"evaluate-{run['run']}"
    directory = write_study(tmp_path, study, by_seed)
    read = read_study(directory)
    row = accuracy_table(read).tidy.set_index("model").loc["dynamonet"]
    assert (row["n"], row["top1_mean_percent"]) == (3, pytest.approx(80))
    after = frame_prediction_table(read).readable["After"].tolist()
    assert after == ["no training", "pretraining"]
    assert len(read.runs[read.runs["task"] == "evaluate"]) == 9


def test_bounds_are_shown_where_videos_were_not_scored(tmp_path):
    directory = searched(tmp_path, default_top1)
    whole = accuracy_table(read_study(directory))
    assert not any("[lowest" in note for note in whole.notes)
    assert (whole.tidy["top1_lowest_percent"] == whole.tidy["top1_mean_percent"]).all()
    bounds = {"top1": [0.7, 0.9], "top5": [0.8, 1.0], "mean_class_accuracy": [0.6, 0.95]}
    for path in directory.glob("runs/dynamonet-ucf101*/evaluate.json"):
        record = read_json(path)
        metrics = {"top1": 0.8, "top5": 0.9, "mean_class_accuracy": 0.75, "bounds": bounds}
        counts = {"listed": 30, "scored": 24, "unusable": []}
        write_json(path, {**record, "metrics": {**record["metrics"], **metrics}, "counts": counts})
    table = accuracy_table(read_study(directory))
    cells = table.flat.set_index("Model").loc["DynamoNet R3D-10"].tolist()
    assert cells == ["80.0 ± 0.0 (3) [70.0, 90.0]", "90.0 [80.0, 100.0]", "75.0 [60.0, 95.0]", "72/90"]
    assert table.tidy.set_index("model").loc["dynamonet", "mean_class_accuracy_highest_percent"] == 95
    assert "[" not in "".join(table.flat.set_index("Model").loc["DynamoNet without DMR"])
    assert any("[lowest, highest]" in note for note in table.notes)
    read = read_study(directory)
    for table in (ablation_table(read), label_efficiency_table(read)):
        row = table.readable[(table.tidy["model"] == "dynamonet") & (table.tidy["label_fraction"] == 1)].iloc[0]
        assert row["Top-1 %"] == "80.0 ± 0.0 [70.0, 90.0]"
        assert row["Scored"] == f"{24 * int(row['n'])}/{30 * int(row['n'])}"
        assert any("[lowest, highest]" in note for note in table.notes)
    predicted = frame_prediction_table(read)
    assert "72/90" in predicted.readable["Scored"].tolist()
    assert not any("[lowest, highest]" in note for note in predicted.notes)
