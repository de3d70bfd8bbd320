import pytest
import synthetic_study
import yaml
from synthetic_study import NEVER, planned_run, write_study

from dynamonet.errors import UserError
from dynamonet.files import read_json, write_json
from dynamonet.published import LEDGER, Ledger, PublishedNumber, read_ledger
from dynamonet.report.claims import VERDICTS, Ours, claim_rows, claims_table, judge
from dynamonet.report.collect import read_study

NETWORK = {"build": "slow_r50", "frames": 8, "stride": 8, "crop": 256, "clips": 10, "crops": 3}
TOP1 = {
    "what": "Slow-R50 8x8",
    "metric": "top1_percent",
    "value": 74.58,
    "source": "a model zoo",
    "protocol": "30 views",
    "network": NETWORK,
    "dataset": "kinetics400",
}


def number(**changes) -> PublishedNumber:
    return PublishedNumber.model_validate({**TOP1, **changes})


def ledger(**changes) -> Ledger:
    return Ledger(tolerances={"top1_percent": 0.5}, published={"slow": number(**changes)})


def zoo_study(tmp_path, top1=lambda run: 0.75, seeds=(0,), dataset=(), task="evaluate", **model):
    study = synthetic_study.plan(models=1, datasets=1)
    study["datasets"] = {"k400": {"title": "K400", "layout": "kinetics400", "splits": [1], "generated": False}}
    study["datasets"]["k400"] |= dict(dataset)
    clip = {"frames": 8, "stride": 8, "crop": 224}
    study["models"] = {"slow": {**study["models"]["dynamonet"], "build": "slow_r50", "clip": clip, **model}}
    runs = [planned_run("slow", "k400", 1, seed, "released") for seed in seeds]
    for run in runs:
        run["views"] = {"clips": 10, "crops": 3, "crop": 256}
    study["experiments"] = {"main": {"claim": "c", "task": task, "tables": ["accuracy"], "runs": runs}}
    study["claims"] = {}
    return read_study(write_study(tmp_path, study, top1))


def only_row(study, published):
    (row,) = claim_rows(study, published)
    return row


@pytest.mark.parametrize(
    ("value", "low", "high", "verdict"),
    [
        (74.08, 74.0, 74.2, "reproduced"),  # at the tolerance, whatever the interval says
        (75.08, float("nan"), float("nan"), "reproduced"),
        (74.07, 73.5, 74.58, "within noise"),  # the end of the interval is in it
        (74.07, 73.5, 74.57, "not reproduced"),
        (76.0, 74.59, 77.0, "not reproduced"),
        (76.0, float("nan"), float("nan"), "not reproduced"),
    ],
)
def test_verdicts_on_a_value(value, low, high, verdict):
    ours = Ours("slow", [], True, runs=["r"], value=value, low=low, high=high, over="videos")
    assert judge(number(), 0.5, ours).verdict == verdict


def test_verdicts_without_a_value_to_compare():
    there = {"value": 74.58, "low": 74.0, "high": 75.0, "over": "seeds"}
    missing = Ours("slow", [], True, runs=["a", "b"], missing=1, **there)
    other = Ours("slow", ["width 8 (published: 64)"], False, runs=["a"], missing=1)
    verdicts = [
        judge(number(value=None), 0.5, other),
        judge(number(), 0.5, other),
        judge(number(), 0.5, missing),
        judge(number(metric="parameters_m", dataset=None), 0.5, Ours("slow", [], True)),
    ]
    assert [said.verdict for said in verdicts] == ["no published value", "not comparable", "not run", "not run"]
    assert verdicts[1].why == "width 8 (published: 64)"
    assert verdicts[2].why == "1 of 2 runs are missing"
    assert {said.verdict for said in verdicts} <= set(VERDICTS)


def test_one_run_is_judged_by_its_interval_over_videos(tmp_path):
    row = only_row(zoo_study(tmp_path), ledger())
    assert (row["verdict"], row["ours"], row["interval_over"]) == ("reproduced", pytest.approx(75), "videos")
    assert row["ours_ci95_low"] < row["ours_ci95_high"]
    assert row["runs_missing"] == 0


def test_three_seeds_are_judged_by_their_interval_over_seeds(tmp_path):
    study = zoo_study(tmp_path, lambda run: 0.73 + 0.01 * run["seed"], seeds=(0, 1, 2), task="train")
    row = only_row(study, ledger(value=75.0))
    # 73, 74 and 75: mean 74, half width 4.30 / sqrt(3)
    assert (row["verdict"], row["interval_over"]) == ("within noise", "seeds")
    assert row["ours_ci95_high"] == pytest.approx(74 + 4.302653 / 3**0.5, abs=1e-5)


def test_weights_evaluated_with_several_seeds_are_judged_by_their_videos(tmp_path):
    # Equal results of equal weights would have an interval of no width.
    row = only_row(zoo_study(tmp_path, seeds=(0, 1, 2)), ledger(value=70.0))
    assert row["interval_over"] == "videos"
    assert row["ours_ci95_low"] < row["ours_ci95_high"]


@pytest.mark.parametrize(
    ("ours", "published", "why"),
    [
        ({"options": {"width": 8}}, {}, "width 8 (published: 64)"),
        ({"clip": {"frames": 8, "stride": 2, "crop": 224}}, {}, "stride 2 (published: 8)"),
        ({"dataset": {"generated": True}}, {}, "generated videos in the layout of kinetics400, not kinetics400"),
        ({"dataset": {"generated": None}}, {}, "does not say whether the videos are generated"),
        ({}, {"network": {**NETWORK, "clips": 5}}, "clips 10 (published: 5)"),
        ({}, {"splits": [1, 2, 3]}, "splits 1 (published: 1, 2, 3)"),
        ({}, {"start": ["scratch"]}, "from released weights (published: scratch)"),
        ({}, {"incomparable": "its videos are secret"}, "its videos are secret"),
    ],
)
def test_what_differs_is_not_compared_and_said(tmp_path, ours, published, why):
    row = only_row(zoo_study(tmp_path, **ours), ledger(**published))
    assert row["verdict"] == "not comparable"
    assert why in row["why"]


def test_released_weights_are_those_of_kinetics400(tmp_path):
    assert only_row(zoo_study(tmp_path), ledger(start=["kinetics400"]))["verdict"] == "reproduced"


def test_a_missing_run_is_not_run(tmp_path):
    row = only_row(zoo_study(tmp_path, lambda run: NEVER), ledger())
    assert (row["verdict"], row["why"]) == ("not run", "1 of 1 runs are missing")


def test_numbers_of_other_builds_and_layouts_are_not_listed(tmp_path):
    study = zoo_study(tmp_path)
    assert claim_rows(study, ledger(dataset="ucf101")) == []
    assert claim_rows(study, ledger(network={**NETWORK, "build": "c2d_r50"})) == []


def test_costs_are_compared_as_they_were_counted(tmp_path):
    study = zoo_study(tmp_path)
    record = study.measures["slow"].content
    record["clip"] = {"frames": 8, "stride": 8, "crop": 256}
    record["counts"] = {"classes": 400}
    record["metrics"] |= {"gmacs_per_clip": 55.0, "gmacs_products_per_clip": 54.5}
    published = {"metric": "gmacs_per_clip", "value": 54.52, "counting": "products", "tolerance": 1.0}
    published["network"] = {key: NETWORK[key] for key in ("build", "frames", "stride", "crop")}
    row = only_row(study, ledger(**published))
    assert (row["verdict"], row["ours"], row["tolerance"]) == ("reproduced", 54.5, pytest.approx(0.5452))
    record["counts"]["classes"] = 12
    assert only_row(study, ledger(**published))["why"] == "12 classes (published: 400)"
    del record["counts"]
    assert only_row(study, ledger(**published))["why"] == "an unknown number of classes (published: 400)"


def test_the_table_shows_nothing_of_another_network_and_no_blank(tmp_path):
    table = claims_table(zoo_study(tmp_path, options={"width": 8}))
    assert set(table.readable["Ours"]) == {"–"}
    assert not (table.readable == "").to_numpy().any()
    # Of the card and of PySlowFast: top-1 and top-5 each, and the cost.
    assert {"slow_r50.top1_percent", "pyslowfast.slow_r50.top5_percent", "slow_r50.gmacs_per_clip"} <= set(
        table.tidy["claim"]
    )


def test_a_stale_value_of_ours_is_marked(tmp_path):
    zoo_study(tmp_path)
    path = next(tmp_path.glob("runs/*/evaluate.json"))
    write_json(path, {**read_json(path), "weights_sha256": "f" * 64})
    table = claims_table(read_study(tmp_path)).readable
    ours = table.loc[table["Metric"].isin(["top1_percent", "top5_percent"]), "Ours"]
    assert len(ours) and all(ours.str.endswith("†"))


def test_every_number_of_the_project_names_its_source():
    numbers = read_ledger().published
    assert len(numbers) > 100
    for name, published in numbers.items():
        assert published.source and published.protocol, name
    unverified = {name for name, published in numbers.items() if published.value is None}
    assert unverified and all(name.startswith("dynamonet.") for name in unverified)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, r"published\.slow\.colour: unknown key"),
        ({"dataset": None}, "an accuracy is of a data set"),
        ({"metric": "loss"}, r"published\.slow\.metric"),
        ({"metric": "gmacs_per_clip"}, "counting says how"),
        ({"metric": "top5_percent"}, r"published\.slow has no tolerance"),
        ({"network": {"build": "slow_r5"}}, r"network\.build: there is no model 'slow_r5'"),
        ({"network": {**NETWORK, "options": {"wide": 8}}}, "slow_r50 has no option 'wide'"),
    ],
)
def test_a_wrong_ledger_is_refused_by_key(tmp_path, change, message):
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump({"tolerances": {"top1_percent": 0.5}, "published": {"slow": {**TOP1, **change}}}))
    with pytest.raises(UserError, match=rf"claims\.yaml: .*{message}"):
        read_ledger(path)


def test_a_number_that_a_card_has_is_refused(tmp_path):
    content = yaml.safe_load(LEDGER.read_text())
    content["published"] = {"slow_r50.top1_percent": TOP1}
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match="is on the card of its model too"):
        read_ledger(path)
