import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import synthetic_study

from dynamonet.errors import UserError
from dynamonet.files import read_json, write_json
from dynamonet.records import Record
from dynamonet.report import TABLES, write_report
from dynamonet.report.collect import planned_runs, read_study
from dynamonet.report.tables_records import runs_table

FIGURES = (
    "accuracy_cost",
    "accuracy_latency",
    "class_gain",
    "ablation",
    "label_efficiency",
    "predicted_frames",
    "confusion",
    "learning_curves",
    "stage_times",
)


LATENCY = ("latency_ms_median", "latency_ms_p10", "latency_ms_p90")


def copy_of_records(source: Path, target: Path) -> Path:
    return shutil.copytree(source, target, ignore=shutil.ignore_patterns("tables", "figures", "report.html"))


def outputs(directory: Path) -> dict[str, bytes]:
    paths = [*directory.glob("tables/*"), *directory.glob("figures/*"), directory / "report.html"]
    return {str(path.relative_to(directory)): path.read_bytes() for path in paths}


def test_every_expected_file_exists(reported):
    expected = {f"tables/{key}.{suffix}" for key in TABLES for suffix in ("csv", "md", "tex", "sources.csv")}
    expected.add("tables/numbers.tex")
    expected |= {f"figures/{key}.{suffix}" for key in FIGURES for suffix in ("svg", "png")}
    assert set(outputs(reported)) == expected | {"report.html"}


def test_equal_records_give_equal_bytes(reported, tmp_path):
    again = copy_of_records(reported, tmp_path / "elsewhere")
    write_report(again)
    assert outputs(again) == outputs(reported)


def test_times_change_nothing_but_their_tables_and_figures_their_macros_and_the_page(reported, tmp_path):
    directory = copy_of_records(reported, tmp_path / "elsewhere")
    for path in directory.glob("runs/*/fit.json"):
        record = read_json(path)
        write_json(path, {**record, "time": {key: value * 1.5 for key, value in record["time"].items()}})
    for path in directory.glob("measure/*.json"):
        record = read_json(path)
        record["metrics"] |= {key: 1.5 * record["metrics"][key] for key in LATENCY}
        write_json(path, record)
    write_report(directory)
    before, after = outputs(reported), outputs(directory)
    changed = {name for name in before if before[name] != after[name]}
    suffixes = ("csv", "md", "tex", "sources.csv")
    times = {f"tables/{table}.{suffix}" for table in ("runtime", "compute") for suffix in suffixes}
    times |= {f"figures/{key}.{suffix}" for key in ("accuracy_latency", "stage_times") for suffix in ("svg", "png")}
    assert changed == {*times, "tables/numbers.tex", "report.html"}


def test_csv_agrees_with_the_records(reported):
    rows = pd.read_csv(reported / "tables/accuracy.csv")
    runs = [r for r in synthetic_study.plan(4, 2)["experiments"]["main"]["runs"] if r["model"] == "c3d"]
    values = pd.Series([100 * synthetic_study.default_top1(r) for r in runs if r["dataset"] == "hmdb51"])
    row = rows[(rows["model"] == "c3d") & (rows["dataset"] == "hmdb51")].iloc[0]
    assert row["top1_mean_percent"] == pytest.approx(values.mean(), rel=1e-5)
    assert row["top1_sd_percent"] == pytest.approx(values.std(ddof=1), rel=1e-5)


def test_page_is_self_contained_and_escaped(reported):
    page = (reported / "report.html").read_text()
    assert "Does motion need &lt;dynamic&gt; filters?" in page
    assert "v_broken_&lt;1&gt;" in page
    assert "<dynamic>" not in page
    assert page.count("data:image/png;base64,") == len(FIGURES)
    assert not re.search(r"(src|href)=\"(https?:)?//", page)
    assert "helps" in page


def test_figures_carry_no_date(reported):
    for path in reported.glob("figures/*.svg"):
        assert "<dc:date>" not in path.read_text()


def test_what_has_no_data_is_omitted_and_said_so(tmp_path):
    study = synthetic_study.plan(models=3, datasets=1)
    directory = synthetic_study.write_study(tmp_path, study, lambda run: synthetic_study.NEVER)
    left_behind = directory / "figures/ablation.png"
    left_behind.parent.mkdir()
    left_behind.write_bytes(b"of an earlier report")
    write_report(directory)
    assert not list(directory.glob("figures/*"))
    page = (directory / "report.html").read_text()
    assert page.count("Omitted:") == len(FIGURES) + 1  # and the table of horizons: who predicts is not known yet
    assert "missing 3 of 3" in (directory / "tables/accuracy.md").read_text()
    assert "0 of " in page
    assert r"SplitOneSeedOhNoDmrP}{\missing{2 of 2 runs}}" in (directory / "tables/numbers.tex").read_text()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("evaluate.json", b'{"metrics": ', "not valid JSON"),
        ("evaluate.json", b"\xff\xfe\x00", "not valid JSON"),
        ("evaluate.json", b"[]", "no JSON object"),
        ("fit.json", b"{}", "no value at"),
        ("log.jsonl", b'{"step": 1, "loss"', "not valid JSON"),
        ("log.jsonl", b'{"step": 1, "loss": NaN, "train_top1": 1}', "NaN"),
        ("log.jsonl", b'{"step": 1, "loss": "x", "train_top1": 1}', "holds 'x' as 'loss', where a number belongs"),
        ("log.jsonl", b'{"step": null, "loss": 1, "train_top1": 1}', "holds None as 'step', where a number belongs"),
        ("logits.parquet", b"PAR1", "cannot be read"),
        ("predictions.npz", b"PK", "cannot be read"),
    ],
)
def test_a_broken_record_is_named(study_to_break, name, content, message):
    run = next(study_to_break.glob("runs/dynamonet-ucf101.1-s0-*/predictions.npz")).parent
    path = run / name
    intact = path.read_bytes()
    path.write_bytes(content)
    try:
        with pytest.raises(UserError, match=f"(?s){re.escape(str(path))}.*{message}"):
            write_report(study_to_break)
    finally:
        path.write_bytes(intact)


@pytest.fixture(scope="module")
def study_to_break(tmp_path_factory) -> Path:
    study = synthetic_study.plan(models=3, datasets=1)
    study["experiments"] = {"main": study["experiments"]["main"]}
    study["claims"] = {}
    return synthetic_study.write_study(tmp_path_factory.mktemp("broken"), study)


BOUNDS = "where \\[lowest, highest\\] belong"


@pytest.mark.parametrize(
    ("name", "key", "value", "message"),
    [
        (
            "evaluate.json",
            ("metrics", "bounds"),
            {"top1": [0.1]},
            f"holds \\[0.1\\] at 'metrics.bounds.top1', {BOUNDS}",
        ),
        ("evaluate.json", ("metrics", "bounds"), {"top1": ["a", "b"]}, BOUNDS),
        ("evaluate.json", ("metrics", "bounds"), {"top1": [0.9, 0.1]}, BOUNDS),
        ("evaluate.json", ("metrics", "bounds"), {"top1": 0.9}, BOUNDS),
        ("fit.json", ("provenance", "packages"), ["torch"], "holds \\['torch'\\] at 'provenance.packages'"),
    ],
)
def test_a_value_of_another_kind_is_named_with_its_key(study_to_break, name, key, value, message):
    path = next(study_to_break.glob("runs/dynamonet-ucf101.1-s0-*/predictions.npz")).parent / name
    intact = read_json(path)
    write_json(path, {**intact, key[0]: {**intact[key[0]], key[1]: value}})
    try:
        with pytest.raises(UserError, match=f"{re.escape(str(path))} .*{message}"):
            runs_table(read_study(study_to_break))
    finally:
        write_json(path, intact)


@pytest.mark.parametrize(("field", "value"), [("split", "1"), ("seed", None), ("label_fraction", "all"), ("seed", 1.5)])
def test_a_planned_run_with_a_text_for_a_number_is_refused(field, value):
    plan = synthetic_study.plan(2, 1)
    plan["experiments"]["main"]["runs"][0][field] = value
    with pytest.raises(UserError, match=f"study.json: run dynamonet.* has {value!r} as {field}"):
        planned_runs(Record(Path("study.json"), plan))


def test_two_data_sets_with_one_title_are_refused():
    plan = synthetic_study.plan(2, 2)
    plan["datasets"]["hmdb51"] = {**plan["datasets"]["hmdb51"], "title": plan["datasets"]["ucf101"]["title"]}
    with pytest.raises(UserError, match="two data sets share a title"):
        planned_runs(Record(Path("study.json"), plan))


def test_a_share_outside_0_to_1_is_refused(study_to_break):
    path = next(study_to_break.glob("runs/*/evaluate.json"))
    intact = read_json(path)
    write_json(path, {**intact, "metrics": {**intact["metrics"], "top1": 84.2}})
    with pytest.raises(UserError, match=f"{re.escape(str(path))} holds 84.2 at 'metrics.top1'"):
        write_report(study_to_break)
    write_json(path, intact)


def test_no_study_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"study\.json does not exist"):
        write_report(tmp_path)
