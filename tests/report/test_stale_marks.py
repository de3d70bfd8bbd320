"""Every value that a stale record stands behind is marked: in tables, macros and captions."""

import re

import pytest
import synthetic_study
from synthetic_study import NEVER, write_study

from dynamonet.files import read_json, write_json
from dynamonet.report import TABLES
from dynamonet.report.collect import read_study
from dynamonet.report.drawing import report_style
from dynamonet.report.figures import ablation_figure, label_efficiency_figure
from dynamonet.report.figures_cost import accuracy_cost_figure
from dynamonet.report.numbers import numbers_tex
from dynamonet.report.table_files import MISSING, NO_INTERVAL, NOT_APPLICABLE

REFERENCE, OTHER, ABSENT = "DynamoNet R3D-10", "DynamoNet, fixed filters", "DynamoNet without DMR"


@pytest.fixture(scope="module")
def outdated(tmp_path_factory):
    """Each run of the reference is stale, as is its measurement; none of no_dmr was ever run. With tables by key."""
    directory = write_study(
        tmp_path_factory.mktemp("outdated"),
        synthetic_study.plan(models=3, datasets=1),
        lambda run: NEVER if run["model"] == "no_dmr" else synthetic_study.default_top1(run),
    )
    for path in directory.glob("runs/*dynamonet-ucf101*/evaluate.json"):
        write_json(path, {**read_json(path), "weights_sha256": "f" * 64})
    plan = read_json(directory / "study.json")
    plan["models"]["dynamonet"] |= {"options": {"filter_size": 11}, "clip": {"frames": 64, "stride": 1, "crop": 64}}
    write_json(directory / "study.json", plan)
    study = read_study(directory)
    return study, {key: build(study) for key, build in TABLES.items()}


def unmarked(cells, columns) -> list[str]:
    """The columns whose value has no mark."""
    empty = (MISSING, NO_INTERVAL, NOT_APPLICABLE, "0")
    return [column for column in columns if cells[column] not in empty and "†" not in cells[column]]


@pytest.mark.parametrize(
    ("key", "columns"),
    [
        ("accuracy", ["top-1 % (n)", "top-5 %", "class mean %"]),
        ("ablation", ["Top-1 %", "95 % interval", "PSNR dB"]),
        ("comparison", ["Top-1 %", "95 % over videos", "95 % over runs"]),
        ("frame_prediction", ["Prediction dB", "Gain dB", "Last gain dB"]),
        ("cost", ["GMACs per clip", "Views per video", "GMACs per video", "Parameters, M"]),
        ("runtime", ["Latency ms, median (p10–p90)", "Clips/s", "Batch", "Training s", "Training clips/s"]),
    ],
)
def test_each_value_of_a_stale_arm_is_marked_and_none_of_another(outdated, key, columns):
    rows = outdated[1][key].flat.rename(columns=lambda name: name.removeprefix("UCF101 (motion): ")).set_index("Model")
    of_reference = rows.loc[[REFERENCE]].iloc[0]
    assert [column for column in columns if of_reference[column] in (MISSING, NO_INTERVAL, NOT_APPLICABLE)] == []
    assert unmarked(of_reference, columns) == []
    assert "†" not in "".join(rows.drop(index=REFERENCE)[columns].to_numpy().ravel())


@pytest.mark.parametrize("key", ["ablation", "comparison"])
def test_a_difference_from_a_stale_reference_is_marked(outdated, key):
    study, tables = outdated
    cells = tables[key].flat.set_index("Model").loc[[OTHER]].iloc[0]
    bounds = cells.filter(regex="its 95 %|McNemar").index.tolist()
    assert unmarked(cells, ["Difference, points", *bounds]) == []
    macros = dict(re.findall(r"^\\newcommand\{\\(\w+)\}\{(.*)\}$", numbers_tex(study, tables), re.M))
    stem = {"ablation": "AblationAblation", "comparison": "ComparisonMain"}[key] + "UcfOneOhOneFixedFilters"
    assert macros[f"{stem}Difference"].startswith(r"\stale{")
    assert macros[f"{stem}DifferenceLow"].startswith(r"\stale{")
    assert not macros.get(f"{stem}TopOne", "").startswith(r"\stale")


def test_an_effect_of_stale_runs_is_marked(outdated):
    cells = outdated[1]["effects"].flat.set_index("Effect").loc["Filters help"]
    assert unmarked(cells, ["Verdict", "Treatment", "Control", "Difference", "95 % interval"]) == []


def test_a_measurement_of_another_network_is_stale_and_says_what_differs(outdated):
    study, tables = outdated
    assert list(study.measured_otherwise) == ["dynamonet"]
    assert "clip.frames 16 → 64" in study.measured_otherwise["dynamonet"]
    assert "options.filter_size absent → 11" in study.measured_otherwise["dynamonet"]
    assert any("clip.frames 16 → 64" in note for note in tables["cost"].notes)
    macros = dict(re.findall(r"^\\newcommand\{\\(\w+)\}\{(.*)\}$", numbers_tex(study, tables), re.M))
    assert macros["CostDynamonetGmacs"] == r"\stale{2.500}"
    assert macros["CostFixedFiltersGmacs"] == "6.400"


def test_a_measurement_that_does_not_say_of_which_network_it_is_is_stale(tmp_path):
    directory = write_study(tmp_path, synthetic_study.plan(models=3, datasets=1), lambda run: NEVER)
    path = directory / "measure/no_dmr.json"
    write_json(path, {key: value for key, value in read_json(path).items() if key != "measured"})
    assert list(read_study(directory).measured_otherwise) == ["no_dmr"]


def test_captions_name_stale_arms_and_those_without_a_run(outdated):
    study, tables = outdated
    with report_style():
        cost = accuracy_cost_figure(study, tables["accuracy"]).caption
        ablation = ablation_figure(study, tables["ablation"]).caption
        labels = label_efficiency_figure(study, tables["label_efficiency"]).caption
    assert f"Not shown, since no run is there: {ABSENT}, UCF101 (motion)." in cost
    assert f"Stale († in the table): {REFERENCE}, UCF101 (motion)." in cost
    assert f"Measured with other code or settings than now: {REFERENCE}." in cost
    assert f"Not shown, since no run is there: ablation: {ABSENT}." in ablation
    assert f"Stale († in the table): ablation: {REFERENCE}." in ablation
    assert f"{REFERENCE}, from scratch, 10 % of labels" in labels
