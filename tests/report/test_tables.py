import pandas as pd
import pytest
import synthetic_study
from synthetic_study import NEVER, write_study

from dynamonet.files import read_json, write_json
from dynamonet.report.collect import read_study
from dynamonet.report.sources import cell_sources
from dynamonet.report.table_files import Table, as_latex, as_markdown
from dynamonet.report.tables import ablation_table, accuracy_table, frame_prediction_table
from dynamonet.report.tables_comparison import comparison_table
from dynamonet.report.tables_records import cost_table, datasets_table, runs_table, runtime_table


def small_study(tmp_path, top1=synthetic_study.default_top1):
    return write_study(tmp_path, synthetic_study.plan(models=3, datasets=1), top1)


def by_split(run: dict) -> float:
    """80, 82 and 84 % on splits 1, 2 and 3 for DynamoNet; five points less for the others."""
    return 0.78 + 0.02 * run["split"] - 0.05 * (run["model"] != "dynamonet")


def test_accuracy_equals_the_values_by_hand(tmp_path):
    directory = small_study(tmp_path, by_split)
    table = accuracy_table(read_study(directory))
    row = table.tidy.set_index("model").loc["dynamonet"]
    assert (row["n"], row["runs_missing"]) == (3, 0)
    assert row["top1_mean_percent"] == pytest.approx(82)
    assert row["top1_sd_percent"] == pytest.approx(2)
    assert row["top5_mean_percent"] == pytest.approx(94)
    runs = [run["run"] for run in synthetic_study.plan(3, 1)["experiments"]["main"]["runs"]]
    tables = [pd.read_parquet(directory / f"runs/{run}/logits.parquet") for run in runs if run.startswith("dynamonet")]
    answers = [table.filter(like="score_").to_numpy().argmax(1) for table in tables]
    by_class = [
        (table["class_index"] == answer).groupby(table["class_index"]).mean()
        for table, answer in zip(tables, answers, strict=True)
    ]
    class_mean = 100 * pd.concat(by_class, axis=1).mean().mean()
    assert row["mean_class_accuracy_mean_percent"] == pytest.approx(class_mean)
    assert (row["videos_scored"], row["videos_listed"]) == (300, 300)
    assert table.flat.iloc[0].tolist() == ["DynamoNet R3D-10", "82.0 ± 2.0 (3)", "94.0", f"{class_mean:.1f}", "300/300"]


def test_missing_runs_are_counted_and_never_blank(tmp_path):
    def top1(run: dict) -> float | str:
        lost = run["model"] == "no_dmr" or (run["model"] == "dynamonet" and run["split"] == 3)
        return NEVER if lost else by_split(run)

    table = accuracy_table(read_study(small_study(tmp_path, top1)))
    cells = table.flat.set_index("Model").iloc[:, 0]
    assert cells["DynamoNet R3D-10"] == "81.0 ± 1.4 (2, missing 1 of 3)"
    assert cells["DynamoNet without DMR"] == "missing 3 of 3"
    assert table.flat.set_index("Model").loc["DynamoNet without DMR"].tolist()[1:] == ["missing"] * 3
    assert not (table.readable == "").to_numpy().any()


def test_ablation_is_paired_with_the_first_arm(tmp_path):
    table = ablation_table(read_study(small_study(tmp_path, by_split)))
    row = table.tidy.set_index("model").loc["no_dmr"]
    assert (row["n"], row["difference_pairs"], row["difference_paired_over"]) == (6, 3, "seeds")
    assert row["difference_points"] == pytest.approx(-5)
    assert row["reference"] == "DynamoNet R3D-10"
    assert table.readable["Difference, points"].tolist() == ["reference", "−5.0", "−5.0"]


def test_an_experiment_is_compared_with_the_same_rows_of_the_one_that_it_names(tmp_path):
    study = synthetic_study.plan(models=3, datasets=1)
    strong = [
        {**run, "run": f"{run['run']}-strong"}
        for run in study["experiments"]["ablation"]["runs"]
        if run["model"] == "no_dmr"
    ]
    study["experiments"]["strong"] = {**study["experiments"]["ablation"], "runs": strong, "reference": "ablation"}
    top1 = {"-strong": 0.02}
    directory = write_study(tmp_path, study, lambda run: by_split(run) + top1.get(run["run"][-7:], 0))
    read = read_study(directory)
    table = ablation_table(read)
    row = table.tidy.iloc[-1]
    assert (row["experiment"], row["reference"]) == ("strong", "DynamoNet without DMR, ablation")
    assert (row["difference_points"], row["difference_pairs"]) == (pytest.approx(2), 3)
    assert table.readable["Difference, points"].iloc[-1] == "+2.0"
    sources = cell_sources(read, table)
    behind = sources[sources["column"].str.startswith("Difference")].iloc[-1]["runs"].split("; ")
    assert behind == [*(run["run"] for run in strong), *(run["run"].removesuffix("-strong") for run in strong)]


def test_runs_of_different_start_or_fraction_are_never_pooled(tmp_path):
    study = synthetic_study.plan(models=3, datasets=1)
    study["experiments"]["labels"]["tables"] = ["accuracy"]
    study["experiments"]["main"]["tables"] = []
    table = accuracy_table(read_study(write_study(tmp_path, study)))
    assert len(table.tidy) == 8
    assert "DynamoNet R3D-10, after pretrain, 25 % of labels" in set(table.tidy["arm"])


def test_a_start_that_a_data_set_shares_is_said_once(tmp_path):
    study = synthetic_study.plan(models=3, datasets=2)
    for run in study["experiments"]["main"]["runs"]:
        run["init"] = "pretrain" if run["dataset"] == "hmdb51" else "scratch"
    table = accuracy_table(read_study(write_study(tmp_path, study)))
    assert table.flat["Model"].tolist() == ["DynamoNet R3D-10", "DynamoNet without DMR", "DynamoNet, fixed filters"]
    assert "Start: HMDB51 after pretrain." in table.notes


def test_runs_that_differ_in_their_recipe_only_are_not_averaged(tmp_path):
    study = synthetic_study.plan(models=3, datasets=1)
    other = [{**run, "run": f"{run['run']}-slow"} for run in study["experiments"]["main"]["runs"]]
    study["experiments"]["slow"] = {**study["experiments"]["main"], "runs": other}
    table = accuracy_table(read_study(write_study(tmp_path, study))).tidy
    assert set(table["experiment"]) == {"main", "slow"}
    assert set(table["n"]) == {3}
    assert list(table["arm"])[:2] == ["DynamoNet R3D-10, main", "DynamoNet R3D-10, slow"]


def test_frame_prediction_gain(tmp_path):
    table = frame_prediction_table(read_study(small_study(tmp_path, by_split)))
    row = table.tidy.set_index(["model", "task"]).loc[("dynamonet", "train")]
    # PSNR is 25 + 5 * top1: 29, 29.1 and 29.2 dB, against 24.5 for copying
    assert row["psnr_mean_db"] == pytest.approx(29.1)
    assert row["gain_mean_db"] == pytest.approx(4.6)
    assert set(table.tidy["model"]) == {"dynamonet"}
    assert any("no_dmr" in note or "without DMR" in note for note in table.notes)


@pytest.mark.parametrize(
    ("path", "key", "reason"),
    [
        ("runs/{run}/evaluate.json", "weights_sha256", "evaluated other weights than the fit left"),
        ("manifests/ucf101.json", "manifest_sha256", "fitted on another manifest"),
    ],
)
def test_stale_runs_are_marked(tmp_path, path, key, reason):
    directory = small_study(tmp_path)
    run = next(r["run"] for r in synthetic_study.plan(3, 1)["experiments"]["main"]["runs"])
    record = directory / path.format(run=run)
    write_json(record, {**read_json(record), key: "f" * 64})
    study = read_study(directory)
    runs = runs_table(study).tidy.set_index("run")
    assert reason in runs.loc[run, "stale"]
    table = accuracy_table(study)
    assert "†" in table.flat.iloc[0, 1]
    assert any(note.startswith("†") for note in table.marked_notes)


def test_a_run_whose_start_was_trained_again_is_stale(tmp_path):
    directory = small_study(tmp_path)
    parent = synthetic_study.plan(3, 1)["experiments"]["pretrain"]["runs"][0]["run"]
    for record in ("fit", "evaluate"):
        path = directory / f"runs/{parent}/{record}.json"
        write_json(path, {**read_json(path), "weights_sha256": "e" * 64})
    runs = runs_table(read_study(directory)).tidy
    stale = runs[runs["stale"] != ""]
    assert len(stale) == 4  # one for each label fraction
    assert set(stale["init_run"]) == {parent}


def test_a_run_that_started_from_a_stale_one_is_stale(tmp_path):
    directory = small_study(tmp_path)
    parent = synthetic_study.plan(3, 1)["experiments"]["pretrain"]["runs"][0]["run"]
    path = directory / f"runs/{parent}/fit.json"
    record = read_json(path)
    record["provenance"]["manifest_sha256"] = "f" * 64
    write_json(path, record)
    runs = runs_table(read_study(directory)).tidy
    children = runs[runs["init_run"] == parent]
    assert len(children) == 4
    assert children["stale"].str.contains("which is stale").all()


def test_a_run_that_started_from_a_released_checkpoint_is_named_by_its_checksum_and_not_stale(tmp_path):
    directory = small_study(tmp_path)
    run = next(r["run"] for r in synthetic_study.plan(3, 1)["experiments"]["labels"]["runs"] if r["init"] == "pretrain")
    path = directory / f"runs/{run}/fit.json"
    record = read_json(path)
    record["provenance"]["init"] = {"checkpoint": "r3d18", "weights_sha256": "ab12" * 16, "fresh": [], "left_out": []}
    write_json(path, record)
    table = runs_table(read_study(directory))
    row = table.tidy.set_index("run").loc[run]
    assert (row["stale"], row["init_run"], row["init_sha256"]) == ("", "", "ab12" * 16)
    assert "ab12ab12" in table.readable.set_index("Run").loc[run, "Start"]


def test_an_interval_of_a_percentage_ends_at_100(tmp_path):
    directory = small_study(tmp_path, lambda run: 0.9 if run["split"] == 1 else 1.0)
    row = comparison_table(read_study(directory)).tidy.set_index("model").loc["dynamonet"]
    assert row["top1_ci95_high_percent"] == 100
    # 96.67 less t(0.975, 2) = 4.302653 times 5.7735 / sqrt(3)
    assert row["top1_ci95_low_percent"] == pytest.approx(96.6667 - 4.302653 * 5.7735 / 3**0.5, abs=1e-3)


def test_nothing_is_stale_in_a_fresh_study(reported):
    runs = pd.read_csv(reported / "tables/runs.csv")
    assert runs["stale"].isna().all()
    assert (runs["state"] == "evaluated").all()


def test_tables_of_records(tmp_path):
    directory = small_study(tmp_path)
    (directory / "measure/no_dmr.json").unlink()
    study = read_study(directory)
    cost = cost_table(study)
    assert cost.readable.set_index("Model").loc["DynamoNet R3D-10"].tolist() == [
        "16 × 1 × 64", "2.500", "2", "5.00", "14.37", "–", "–", "–"
    ]  # fmt: skip
    assert "missing" in cost.readable.set_index("Model").loc["DynamoNet without DMR"].tolist()
    assert cost.notes == ["Missing 1 of 3 measurements: DynamoNet without DMR."]
    assert "latency_ms_median" not in cost.tidy
    runtime = runtime_table(study).tidy.set_index("model").loc["dynamonet"]
    assert runtime["training_wall_s_mean"] == 61.5
    assert runtime["training_data_wait_percent_mean"] == pytest.approx(3.1)
    assert runtime["pretraining_runs"] == 3
    data = datasets_table(study).tidy.iloc[0]
    assert (data["videos_listed"], data["videos_decodable"], data["size_mib"]) == (95, 94, 7)
    assert data["train_test_by_split"] == "1: 70/100, 2: 70/100, 3: 70/100"


def test_special_characters_are_escaped_in_every_format():
    name = synthetic_study.NASTY_CLASS + "|x"
    table = Table("t", "T", pd.DataFrame(), pd.DataFrame({name: [name], "n": ["< 3 ± †"]}))
    latex, markdown = as_latex(table), as_markdown(table)
    assert latex.count(r"\textless{}b\textgreater{}\&\_\%\textbar{}x") == 2
    assert r"\textless{} 3 $\pm$ \textdagger{}" in latex
    assert r"\toprule" in latex
    assert r"&lt;b&gt;&amp;\_%\|x" in markdown
    assert "<b>" not in markdown
