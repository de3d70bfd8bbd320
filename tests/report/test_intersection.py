import numpy as np
import pandas as pd
import pytest

from dynamonet.cli import main
from dynamonet.errors import UserError
from dynamonet.files import read_json
from dynamonet.report import statistics
from dynamonet.report.intersection import compare

CLASSES = 7


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(statistics, "RESAMPLES", 400)


def evaluation(path, ids, answers, labels, classes=CLASSES):
    """A run's table: the class `answers` scores highest, the classes after it less and less."""
    scores = -((np.arange(classes)[None] - np.asarray(answers)[:, None]) % classes).astype(np.float32)
    table = pd.DataFrame({"id": ids, "class_index": labels})
    path.parent.mkdir(exist_ok=True)
    table.join(pd.DataFrame(scores, columns=[f"score_{k}" for k in range(classes)])).to_parquet(path, index=False)
    return path


@pytest.fixture
def copies(tmp_path):
    """Two copies of a data set: a lacks z, b lacks x and y, and lists the others in another order."""
    labels = {"p": 0, "q": 0, "r": 1, "s": 2, "x": 3, "y": 3, "z": 4}
    answers_a = {"p": 0, "q": 0, "r": 1, "s": 3, "x": 3, "y": 3}
    answers_b = {"s": 2, "r": 2, "q": 0, "p": 1, "z": 4}
    return [
        evaluation(tmp_path / name / "logits.parquet", list(answers), [*answers.values()], [labels[i] for i in answers])
        for name, answers in (("a", answers_a), ("b", answers_b))
    ]


def test_the_common_videos_are_compared_by_hand(copies):
    compared = compare(*copies)
    assert compared["counts"] == {"a": 6, "b": 5, "common": 4, "only_a": 2, "only_b": 1}
    metrics = compared["metrics"]
    # a: p, q and r right; b: q and s right
    assert (metrics["top1"]["a"], metrics["top1"]["b"], metrics["top1"]["difference"]) == (0.75, 0.5, 0.25)
    class_means = metrics["mean_class_accuracy"]
    assert (class_means["a"], class_means["b"]) == (pytest.approx(2 / 3), pytest.approx(0.5))
    assert class_means["difference"] == pytest.approx(1 / 6)
    # the class before the answer is the last: for s in a, r and p in b
    assert (metrics["top5"]["a"], metrics["top5"]["b"]) == (0.75, 0.5)
    for values in metrics.values():
        assert values["ci95_low"] <= values["difference"] <= values["ci95_high"]


def test_an_evaluation_differs_from_itself_by_nothing(copies):
    for values in compare(copies[0], copies[0])["metrics"].values():
        assert values["a"] == values["b"]
        assert values["difference"] == values["ci95_low"] == values["ci95_high"] == 0


def test_the_comparison_is_the_same_each_time_and_the_other_way_round_its_negative(copies):
    one, other = compare(*copies), compare(*reversed(copies))
    assert one == compare(*copies)
    assert other["counts"]["only_a"] == 1
    for name, values in one["metrics"].items():
        assert other["metrics"][name]["difference"] == -values["difference"]


def test_folders_of_runs_are_taken_printed_and_written(copies, tmp_path, capsys):
    folders = [str(path.parent) for path in copies]
    assert main(["intersection", *folders, "--json", str(tmp_path / "compared.json")]) == 0
    said = capsys.readouterr().out
    assert "4 videos in common; only in A: 2, in B: 1" in " ".join(said.split())
    assert "top-1 %" in said and "+25.0" in said
    assert read_json(tmp_path / "compared.json") == compare(*copies)


def test_few_classes_have_no_top5(tmp_path):
    paths = [evaluation(tmp_path / n / "logits.parquet", ["p", "q"], [0, 1], [0, 0], classes=3) for n in "ab"]
    assert set(compare(*paths)["metrics"]) == {"top1", "mean_class_accuracy"}


@pytest.mark.parametrize(
    ("ids", "labels", "classes", "message"),
    [
        (["p", "q"], [0, 5], CLASSES, r"video q is of class 0 in .*a/logits\.parquet and 5 in .*c\.parquet"),
        (["v", "w"], [0, 0], CLASSES, "have no video in common"),
        (["p", "p"], [0, 0], CLASSES, "holds video p twice"),
        (["p", "q"], [0, 0], 9, "scores 7 classes and .* 9"),
    ],
)
def test_what_cannot_be_compared_is_refused(copies, tmp_path, ids, labels, classes, message):
    other = evaluation(tmp_path / "c.parquet", ids, [0, 0], labels, classes)
    with pytest.raises(UserError, match=message):
        compare(copies[0], other)


def test_what_holds_no_scores_is_refused(copies, tmp_path):
    with pytest.raises(UserError, match=r"absent\.parquet cannot be read"):
        compare(copies[0], tmp_path / "absent.parquet")
    (tmp_path / "text.parquet").write_text("not a table")
    with pytest.raises(UserError, match=r"text\.parquet cannot be read"):
        compare(copies[0], tmp_path / "text.parquet")
    pd.DataFrame({"id": ["p"], "class_index": [-1], "psnr_db": [30.0]}).to_parquet(tmp_path / "pretrained.parquet")
    with pytest.raises(UserError, match="holds no class scores"):
        compare(tmp_path / "pretrained.parquet", copies[0])
