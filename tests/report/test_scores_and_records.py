"""A file of scores that contradicts its record, or another run, ends the report with its name."""

import shutil

import numpy as np
import pandas as pd
import pytest
import synthetic_study
from synthetic_study import planned_run, write_study

from dynamonet.errors import UserError
from dynamonet.files import read_json
from dynamonet.report.collect import read_study
from dynamonet.report.tables_comparison import pairs_table


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two runs, of two models, with 80 and 70 of 100 videos right."""
    study = synthetic_study.plan(models=2, datasets=1)
    runs = [planned_run(model, "ucf101", 1, 0) for model in ("dynamonet", "no_dmr")]
    study["experiments"] = {"main": {"claim": "c", "task": "train", "tables": ["accuracy"], "runs": runs}}
    study["claims"] = {}
    return write_study(tmp_path_factory.mktemp("pair"), study, lambda run: 0.8 if run["model"] == "dynamonet" else 0.7)


def not_a_number(table):
    return table.assign(score_3=np.nan)


def one_answer_turned(table):
    right = (table.filter(like="score_").to_numpy().argmax(1) == table["class_index"]).to_numpy().argmax()
    scores = [f"score_{k}" for k in range(6)]
    table.loc[right, scores] = np.eye(6)[(table.loc[right, "class_index"] + 1) % 6]
    return table


def fifth_place_lost(table):
    """Top-1 as it was, and another top-5."""
    scores = table.filter(like="score_").to_numpy()
    own = scores[np.arange(len(scores)), table["class_index"]]
    place = ((scores > own[:, None]).sum(1) == 3).argmax()
    table.loc[place, f"score_{table.loc[place, 'class_index']}"] = -1.0
    return table


def relabelled(table):
    """Answers and classes turned alike: the same accuracies, of other labels."""
    turned = {f"score_{k}": table[f"score_{(k + 1) % 6}"] for k in range(6)}
    return table.assign(class_index=(table["class_index"] - 1) % 6, **turned)


def relabelled_and_sorted_otherwise(table):
    return relabelled(table).iloc[::-1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (not_a_number, "has scores that are not finite"),
        (lambda table: table.iloc[:12], "holds 12 videos, its record 100"),
        (one_answer_turned, "gives a top1 of 0.69, its record has 0.7"),
        (fifth_place_lost, "gives a top5 of 0.81, its record has 0.82"),
        (relabelled, "has another class for video v_000 than .*logits.parquet"),
        (relabelled_and_sorted_otherwise, "has another class for video v_.* than .*logits.parquet"),
    ],
)
def test_scores_that_contradict_their_record_or_another_run_are_refused(pair, tmp_path, change, message):
    directory = shutil.copytree(pair, tmp_path / "study")
    path = next(directory.glob("runs/no_dmr*/logits.parquet"))
    change(pd.read_parquet(path)).to_parquet(path, index=False)
    with pytest.raises(UserError, match=rf"logits\.parquet {message}"):
        pairs_table(read_study(directory))


def test_a_table_of_pairs_and_the_records_say_the_same(pair):
    row = pairs_table(read_study(pair)).tidy.iloc[0]
    shares = [read_json(next(pair.glob(f"runs/{m}*/evaluate.json")))["metrics"]["top1"] for m in ("no_dmr", "dynamo")]
    assert row["difference_points"] == pytest.approx(100 * (shares[0] - shares[1])) == pytest.approx(-10)
