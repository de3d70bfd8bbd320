import numpy as np
import pandas as pd
import pytest
import synthetic_study
from synthetic_study import NEVER, planned_run, write_study

from dynamonet.errors import UserError
from dynamonet.files import read_json, write_json
from dynamonet.report.collect import read_study
from dynamonet.report.tables_comparison import comparison_table, pairs_table
from dynamonet.report.tables_compute import compute_table
from dynamonet.report.tables_horizon import horizon_table

VIDEOS, CLASSES = 20, 6


def compared_study(tmp_path, right, seeds=(0,), top1=synthetic_study.default_top1):
    """Two models on UCF101; right: run -> how many of the 20 videos, from the first on, it has right."""
    study = synthetic_study.plan(models=2, datasets=1)
    runs = [planned_run(m, "ucf101", 1, seed) for m in ("dynamonet", "no_dmr") for seed in seeds]
    study["experiments"] = {"main": {"claim": "c", "task": "train", "tables": ["accuracy"], "runs": runs}}
    study["claims"] = {}
    write_study(tmp_path, study, top1)
    for run in runs:
        path = tmp_path / f"runs/{run['run']}/logits.parquet"
        if path.is_file():
            synthetic_study.write_scores(path.parent, scores(right(run)))
    return read_study(tmp_path)


def scores(right):
    labels = np.arange(VIDEOS) % CLASSES
    answers = np.where(np.arange(VIDEOS) < right, labels, (labels + 1) % CLASSES)
    table = pd.DataFrame(np.eye(CLASSES)[answers], columns=[f"score_{k}" for k in range(CLASSES)])
    table.insert(0, "class_index", labels)
    table.insert(0, "id", [f"v_{n:02d}" for n in range(VIDEOS)])
    return table


def test_difference_and_mcnemar_by_hand(tmp_path):
    study = compared_study(tmp_path, lambda run: 18 if run["model"] == "dynamonet" else 10)
    row = comparison_table(study).tidy.set_index("model").loc["no_dmr"]
    # 8 of 20 videos that the reference alone has right
    assert row["difference_points"] == pytest.approx(-40)
    assert row["mcnemar_p_lowest"] == row["mcnemar_p_highest"] == pytest.approx(2 / 2**8)
    assert row["difference_ci95_low_points"] < -40 < row["difference_ci95_high_points"] < 0
    pair = pairs_table(study).tidy.iloc[0]
    assert (pair["videos"], pair["both_right"], pair["only_model_right"], pair["only_reference_right"]) == (
        20,
        10,
        0,
        8,
    )
    cells = comparison_table(study).readable.set_index("Model").loc["DynamoNet without DMR"]
    assert cells["McNemar p (pairs)"] == "0.008 (1)"
    assert cells["95 % over runs"] == "n < 3"


def test_the_interval_over_videos_averages_seeds_of_a_video_first(tmp_path):
    study = compared_study(tmp_path, lambda run: 10, seeds=(0, 1, 2))
    one = compared_study(tmp_path / "one", lambda run: 10, seeds=(0,))
    rows = [comparison_table(s).tidy.iloc[0] for s in (study, one)]
    ends = ["top1_over_videos_ci95_low_percent", "top1_over_videos_ci95_high_percent"]
    # Three networks that have the very same videos right tell no more of other videos than one does.
    assert np.ptp(rows[0][ends].to_numpy()) == pytest.approx(np.ptp(rows[1][ends].to_numpy()), abs=5)
    assert rows[0][ends[0]] < 50 < rows[0][ends[1]]


def test_videos_are_joined_by_id_whatever_their_order(tmp_path):
    study = compared_study(tmp_path, lambda run: 12)
    path = next(tmp_path.glob("runs/no_dmr*/logits.parquet"))
    pd.read_parquet(path).sample(frac=1, random_state=0).to_parquet(path, index=False)
    assert comparison_table(study).tidy.set_index("model").loc["no_dmr", "difference_points"] == 0


def test_stale_runs_are_marked_in_every_table_that_compares_or_counts_them(tmp_path):
    compared_study(tmp_path, lambda run: 12)
    path = next(tmp_path.glob("runs/no_dmr*/evaluate.json"))
    write_json(path, {**read_json(path), "weights_sha256": "f" * 64})
    study = read_study(tmp_path)
    marked = {
        "comparison": comparison_table(study).readable["Difference, points"],
        "pairs": pairs_table(study).readable["Difference, points"],
        "compute": compute_table(study).readable["Runs"],
    }
    assert {table: [cell for cell in cells if "†" in cell] for table, cells in marked.items()} == {
        "comparison": ["+0.0†"],
        "pairs": ["+0.0†"],
        "compute": ["1†", "2†"],
    }


def test_missing_pairs_are_marked(tmp_path):
    study = compared_study(tmp_path, lambda run: 12, (0, 1), lambda run: NEVER if run["seed"] else 0.6)
    pairs = pairs_table(study).readable.set_index("Seed")
    assert pairs.loc["1", "McNemar p"] == "missing" and pairs.loc["0", "McNemar p"] == "1.000"
    none = compared_study(tmp_path / "none", lambda run: 12, (0,), lambda run: NEVER)
    cells = comparison_table(none).readable.set_index("Model").loc["DynamoNet without DMR"]
    assert set(cells[["95 % over videos", "Difference, points", "McNemar p (pairs)", "Scored"]]) == {"missing"}
    assert not (comparison_table(none).readable == "").to_numpy().any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.assign(id="v_00"), "holds video v_00 twice"),
        (lambda table: table.assign(class_index=6), "class_index outside its 6 classes"),
        (lambda table: table[["id", "class_index"]], "holds no class scores"),
    ],
)
def test_scores_that_are_none_are_refused(tmp_path, change, message):
    study = compared_study(tmp_path, lambda run: 12)
    path = next(tmp_path.glob("runs/no_dmr*/logits.parquet"))
    change(pd.read_parquet(path)).to_parquet(path, index=False)
    with pytest.raises(UserError, match=rf"no_dmr.*logits\.parquet.*{message}"):
        comparison_table(study)


def test_every_frame_after_the_clip_has_its_row(tmp_path):
    write_study(tmp_path, synthetic_study.plan(models=2, datasets=1), lambda run: 0.8)
    for path in tmp_path.glob("runs/dynamonet*/evaluate.json"):
        record = read_json(path)
        record["metrics"] |= {"psnr_horizon_db": [28.0, 26.0], "psnr_horizon_copy_db": [24.5, 23.0]}
        write_json(path, record)
    tidy = horizon_table(read_study(tmp_path)).tidy
    trained = tidy[tidy["task"] == "train"].set_index("step")
    assert trained["gain_mean_db"].to_dict() == {1: pytest.approx(3.5), 2: pytest.approx(3.0)}
    assert set(tidy["model"]) == {"dynamonet"}


def test_device_hours_count_processes_and_shared_runs_once(tmp_path):
    study = synthetic_study.plan(models=2, datasets=1)
    study["experiments"] = dict.fromkeys(("main", "again"), study["experiments"]["main"])
    study["claims"] = {}
    write_study(tmp_path, study)
    for path in tmp_path.glob("runs/*/fit.json"):
        record = read_json(path)
        record["time"]["wall_s"] = 3600.0
        record["provenance"]["world_size"] = 8
        write_json(path, record)
    tidy = compute_table(read_study(tmp_path)).tidy.set_index(["experiment", "model"])
    assert tidy.loc[("main", "dynamonet"), "fit_device_h"] == tidy.loc[("again", "dynamonet"), "fit_device_h"] == 24
    assert tidy.loc[("", ""), "fit_device_h"] == 48
    assert tidy.loc[("", ""), "evaluation_device_h"] == pytest.approx(6 * 18 / 3600)
