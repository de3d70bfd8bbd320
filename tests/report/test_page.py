import json
import re
from pathlib import Path

import pytest
import synthetic_study

from dynamonet.files import read_json, write_json
from dynamonet.report import TABLES, draw_figures
from dynamonet.report.collect import read_study
from dynamonet.report.page import render_page
from dynamonet.report.page_failures import VIDEOS_SHOWN, study_failures
from dynamonet.report.page_records import row_records, study_facts

ATTEMPTS = [
    {"started_at": "2030-01-01T00:00:00Z", "from_step": 0, "to_step": 40, "stopped_by": "SIGTERM", "host": "node1"},
    {"started_at": "2030-01-01T01:00:00Z", "from_step": 40, "to_step": None, "stopped_by": None, "host": "node2"},
    {"started_at": "2030-01-01T02:00:00Z", "from_step": 20, "to_step": 160, "stopped_by": None, "host": "node1"},
]


def facts_in(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="records">(.*?)</script>', page, re.S).group(1))


def page_of(directory: Path) -> str:
    """The page with its figures left out: to encode them takes most of the time."""
    study = read_study(directory)
    tables = {key: build(study) for key, build in TABLES.items()}
    return render_page(study, tables, draw_figures(study, tables), {})


@pytest.fixture(scope="module")
def page(reported) -> str:
    return (reported / "report.html").read_text()


@pytest.fixture(scope="module")
def troubled(tmp_path_factory) -> Path:
    """A small study in which a run is missing, one was interrupted, and most videos of a data set are unusable."""
    plan = synthetic_study.plan(models=3, datasets=1)
    plan["experiments"] = {"main": plan["experiments"]["main"]}
    plan["claims"] = {}
    missing = plan["experiments"]["main"]["runs"][4]["run"]
    directory = synthetic_study.write_study(
        tmp_path_factory.mktemp("troubled"),
        plan,
        lambda run: synthetic_study.NEVER if run["run"] == missing else synthetic_study.default_top1(run),
    )
    path = next(directory.glob("runs/dynamonet-ucf101.2-*/fit.json"))
    record = read_json(path)
    record["provenance"] |= {"attempts": ATTEMPTS, "git_dirty": True}
    write_json(path, record)
    write_json(path.with_name("spec.json"), {"run_name": "x", "recipe": {"steps": 160}, "note": "</script><b>"})
    path = directory / "manifests/ucf101.json"
    record = read_json(path)
    record["counts"]["unusable"] = [
        {"id": f"v_{n}", "path": f"{n}.avi", "reason": "absent" if n % 2 else "moov atom not found"} for n in range(301)
    ]
    write_json(path, record)
    return directory


@pytest.fixture(scope="module")
def troubled_page(troubled) -> str:
    return page_of(troubled)


def test_every_row_leads_to_a_record_that_the_page_holds(reported, page):
    study, held = read_study(reported), facts_in(page)
    for key, build in TABLES.items():
        table = build(study)
        rows = row_records(study, table)
        assert len(rows) == len(table.readable) == len(held["rows"][key])
        assert all(rows) or key == "checklist", key
        assert {name for row in rows for name in row} <= held["records"].keys()
    assert len(held["records"]) == study.runs["run"].nunique() + len(study.models) + len(study.datasets)


def test_a_row_of_means_leads_to_the_runs_behind_it(reported, page):
    rows = facts_in(page)["rows"]["accuracy"]
    names = list(facts_in(page)["records"])
    found = {names[place] for place in rows[0]}
    planned = synthetic_study.plan(4, 2)["experiments"]["main"]["runs"]
    assert found == {f"run:{run['run']}" for run in planned if run["model"] == "dynamonet"}


def test_a_record_is_told_whole(troubled, troubled_page):
    held = facts_in(troubled_page)
    name, record = next((n, r) for n, r in held["records"].items() if n.startswith("run:dynamonet-ucf101.2-"))
    told = {tuple(held["keys"][key]): text for key, text in (held["facts"][place] for place in record["facts"])}
    fit = read_json(troubled / record["folder"] / "fit.json")
    assert record["files"] == ["spec.json", "log.jsonl", "fit.json", "evaluate.json"]
    assert told["Fit", "weights_sha256"] == fit["weights_sha256"]
    assert told["Fit: where it ran", "packages"] == "numpy 2.4.6; torch 2.9.0"
    assert told["Settings", "recipe.steps"] == "160"
    assert told["Settings", "note"] == "</script><b>"
    assert told["Attempts", "1"] == "step 0 to 40 on node1, from 2030-01-01T00:00:00Z, stopped by SIGTERM"
    assert told["Attempts", "2"].endswith("killed")
    assert (troubled / record["folder"] / "evaluate.json").is_file()
    assert name.removeprefix("run:") == fit["run"]


def test_failures_are_counted_and_named(troubled, troubled_page):
    failures = study_failures(read_study(troubled))
    (missing,) = failures.missing.values()
    assert len(missing) == 1 and f'href="#run:{missing[0]}"' in troubled_page
    assert [len(attempts) for attempts in failures.interrupted.values()] == [3]
    (unusable,) = failures.unusable
    assert (unusable.total, unusable.reasons) == (301, {"moov atom not found": 151, "absent": 150})
    assert "301 listed videos are unusable" in troubled_page
    assert f"And {301 - VIDEOS_SHOWN} more" in troubled_page
    assert "1 fit was started more than once" in troubled_page


def test_uncommitted_changes_are_said_beside_the_commit(troubled_page, page):
    assert re.search(r"1 fit on .*commit 0123456789ab with uncommitted changes<br>", troubled_page)
    assert "commit 0123456789ab<br>" in page and "uncommitted changes<br>" not in page


def test_a_study_without_failures_says_so(page):
    assert "None: every planned run is evaluated." in page
    assert "None: every recorded fit went through in one go." in page


def test_equal_facts_are_held_once(reported):
    facts = study_facts(read_study(reported))
    assert len(set(facts.facts)) == len(facts.facts) and len(set(facts.keys)) == len(facts.keys)
    told = sum(len(record["facts"]) for record in facts.records.values())
    assert len(facts.facts) < told / 3


def test_the_page_without_any_run_is_whole(tmp_path):
    directory = synthetic_study.write_study(
        tmp_path, synthetic_study.plan(models=3, datasets=1), lambda run: synthetic_study.NEVER
    )
    page = page_of(directory)
    assert "No run has been fitted." in page
    assert page.count("not fitted; `dynamonet status` says") == 1
