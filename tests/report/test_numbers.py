import re

import pandas as pd
import pytest
import synthetic_study
from synthetic_study import NEVER, write_study

from dynamonet.errors import UserError
from dynamonet.files import read_json, write_json
from dynamonet.report import TABLES
from dynamonet.report.collect import read_study
from dynamonet.report.numbers import FAMILIES, numbers_tex, spelled
from dynamonet.report.sources import cell_sources, naming_columns


def macros(directory) -> dict[str, str]:
    study = read_study(directory)
    text = numbers_tex(study, {key: TABLES[key](study) for key in FAMILIES})
    return dict(re.findall(r"^\\newcommand\{\\(\w+)\}\{(.*)\}$", text, re.M))


def by_split(run: dict) -> float:
    return 0.78 + 0.02 * run["split"]


def test_numbers_are_those_of_the_tables_and_named_in_letters(tmp_path):
    directory = write_study(tmp_path, synthetic_study.plan(models=3, datasets=1), by_split)
    found = macros(directory)
    assert found["AccuracyUcfOneOhOneDynamonetTopOne"] == "82.0"
    assert found["AccuracyUcfOneOhOneDynamonetTopOneSd"] == "2.0"
    assert found["AblationAblationUcfOneOhOneNoDmrDifference"] == "0.0"
    assert found["LabelsUcfOneOhOneDynamonetAfterPretrainOneOhPercentN"] == "3"
    assert found["CostNoDmrParameters"] == "15.37"
    assert found["EffectDmrDifference"] == "0.00"
    assert found["PairMainUcfOneOhOneSplitOneSeedOhNoDmrP"] == "1"
    assert found["DatasetUcfOneOhOneListed"] == "95"
    for row in TABLES["runtime"](read_study(directory)).tidy.to_dict("records"):
        assert found[f"Runtime{spelled(row['model'])}LatencyMs"] == f"{row['latency_ms_median']:.2f}"
    for row in TABLES["claims"](read_study(directory)).tidy.to_dict("records"):
        name = "".join(spelled(row[key]) for key in ("experiment", "dataset", "claim", "model"))
        name += f"After{spelled(row['init'])}" * (row["init"] not in ("scratch", ""))
        expected = r"\missing{no verified source}" if pd.isna(row["published"]) else f"{row['published']:.2f}"
        assert found[f"Claim{name}Published"] == expected
    assert found["StudyRunsEvaluated"] == found["StudyRunsPlanned"]
    assert all(re.fullmatch("[A-Za-z]+", name) for name in found)
    assert macros(directory) == found


def test_missing_incomplete_and_stale_numbers_show(tmp_path):
    def top1(run):
        return NEVER if run["model"] == "no_dmr" or (run["model"] == "dynamonet" and run["split"] == 3) else 0.8

    directory = write_study(tmp_path, synthetic_study.plan(models=3, datasets=1), top1)
    for path in directory.glob("runs/fixed_filters*/evaluate.json"):
        write_json(path, {**read_json(path), "weights_sha256": "f" * 64})
    (directory / "measure/no_dmr.json").unlink()
    found = macros(directory)
    assert found["AccuracyUcfOneOhOneNoDmrTopOne"] == r"\missing{3 of 3 runs}"
    assert found["AccuracyUcfOneOhOneDynamonetTopOne"] == r"\incomplete{80.0}{2 of 3 runs}"
    assert found["AccuracyUcfOneOhOneFixedFiltersTopOne"] == r"\stale{80.0}"
    assert found["AccuracyUcfOneOhOneDynamonetTopOneLow"] == r"\missing{1 of 3 runs}"
    assert found["CostNoDmrGmacs"] == r"\missing{not measured}"


@pytest.mark.parametrize(
    ("text", "name"),
    [("ucf101", "UcfOneOhOne"), ("r2plus1d_r50", "RTwoPlusOneDRFiveOh"), ("2.5 percent", "TwoPointFivePercent")],
)
def test_names_are_spelled(text, name):
    assert spelled(text) == name


def test_one_network_trained_by_two_recipes_has_a_macro_for_each(tmp_path):
    study = synthetic_study.plan(models=2, datasets=1)
    main = study["experiments"]["main"]
    modern = [{**run, "run": f"{run['run']}0", "recipe": "modern"} for run in main["runs"]]
    study["experiments"] = {"main": main, "modern": {**main, "runs": modern}}
    study["claims"] = {}
    found = macros(write_study(tmp_path, study, lambda run: 0.8 if run["recipe"] == "modern" else 0.7))
    assert found["AccuracyMainUcfOneOhOneDynamonetTopOne"] == "70.0"
    assert found["AccuracyModernUcfOneOhOneDynamonetTopOne"] == "80.0"


def test_names_that_are_spelled_alike_are_refused(tmp_path):
    study = synthetic_study.plan(models=2, datasets=1)
    study["models"] = {"net_a": study["models"]["dynamonet"], "netA": study["models"]["no_dmr"]}
    for experiment in study["experiments"].values():
        for run in experiment["runs"]:
            run["model"] = {"dynamonet": "net_a"}.get(run["model"], "netA")
    study["experiments"] = {"main": study["experiments"]["main"]}
    study["claims"] = {}
    with pytest.raises(UserError, match=r"ucf101, net_a and accuracy of ucf101, netA share the macro \\Accuracy"):
        macros(write_study(tmp_path, study))


def test_every_readable_cell_can_be_computed_from_the_files_that_it_names(tmp_path):
    def top1(run):
        return NEVER if run["model"] == "no_dmr" and run["split"] == 2 else by_split(run)

    directory = write_study(tmp_path, synthetic_study.plan(models=3, datasets=1), top1)
    study = read_study(directory)
    tables = {key: build(study) for key, build in TABLES.items()}
    for key, table in tables.items():
        sources = cell_sources(study, table)
        computed = table.flat.drop(columns=naming_columns(table))
        assert sources["value"].tolist() == computed.to_numpy().ravel().tolist(), key
        for path in "; ".join(sources["records"]).split("; "):
            assert not path or (directory / path).is_file(), (key, path)
    for key in ("accuracy", "ablation", "comparison"):
        sources = cell_sources(study, tables[key])
        for _, cell in sources[sources["column"].str.contains("op-1 %")].iterrows():
            shares = [read_json(directory / path)["metrics"]["top1"] for path in cell["records"].split("; ")]
            assert cell["value"].startswith(f"{100 * pd.Series(shares).mean():.1f} "), (key, cell["row"])
            missing = set(cell["runs"].split("; ")) - {path.split("/")[1] for path in cell["records"].split("; ")}
            assert all(run.startswith("no_dmr-ucf101.2") for run in missing)
            assert ("no_dmr-ucf101.2" in cell["runs"]) == bool(missing)


def test_a_difference_names_the_runs_of_its_reference_too(reported):
    sources = pd.read_csv(reported / "tables/ablation.sources.csv", keep_default_na=False)
    rows = sources[sources["column"] == "Difference, points"].set_index("row")["records"]
    assert "runs/dynamonet-ucf101.1-s0" in rows.filter(like="without DMR").iloc[0]
    assert "runs/no_dmr" not in rows.iloc[0]
