"""A user's own clips in UCF101's format, end to end, with no file edited."""

import csv
import os
from pathlib import Path

import pytest
from documented_commands import copy_checkout, succeed

ACTIONS = ("bend", "jack", "wave1", "wave2")
TEST_PEOPLE = ("g07", "g08", "g09")


@pytest.fixture
def weizmann(tmp_path) -> Path:
    """Four actions by nine people, in class folders, with lists for a split by person."""
    if not os.environ.get("DYNAMONET_CLIPS"):
        pytest.skip("DYNAMONET_CLIPS names no folder of real clips")
    source = Path(os.environ["DYNAMONET_CLIPS"]) / "weizmann"
    if not source.is_dir():
        pytest.skip(f"{source} does not exist")
    root = tmp_path / "clips"
    train, test = [], []
    for index, action in enumerate(ACTIONS, start=1):
        (root / action).mkdir(parents=True)
        for clip in sorted((source / action).glob("*.avi")):
            (root / action / clip.name).symlink_to(clip)
            if any(f"_{person}_" in clip.name for person in TEST_PEOPLE):
                test.append(f"{action}/{clip.name}")
            else:
                train.append(f"{action}/{clip.name} {index}")
    (root / "classInd.txt").write_text("".join(f"{i} {action}\n" for i, action in enumerate(ACTIONS, start=1)))
    (root / "trainlist01.txt").write_text("\n".join(train) + "\n")
    (root / "testlist01.txt").write_text("\n".join(test) + "\n")
    return root


def test_real_clips_of_other_people_are_recognised(weizmann, tmp_path):
    checkout = copy_checkout(tmp_path / "checkout")
    command = "snakemake all --configfile config/folder.yaml --config root=PATH name=NAME"
    succeed(checkout, command, {"PATH": str(weizmann), "NAME": "weizmann"})
    results = checkout / "results/weizmann"
    assert (results / "report.html").is_file()
    with (results / "tables/accuracy.csv").open() as file:
        rows = list(csv.DictReader(file))
    top1 = {row["model"]: float(row["top1_mean_percent"]) for row in rows}
    assert len(top1) == 3
    assert max(top1.values()) >= 90, top1
    assert top1["dynamonet"] >= 90, top1
    assert {row["videos_scored"] for row in rows} == {"12"}
