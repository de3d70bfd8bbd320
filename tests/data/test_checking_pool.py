import pytest
import stuck_checks
from labelled_clips import write_lists

from dynamonet.cli import main
from dynamonet.data import checking, checking_pool
from dynamonet.data.checking import Task, stamp
from dynamonet.data.checking_pool import examine_all
from dynamonet.data.encoding import encode
from dynamonet.errors import UserError
from dynamonet.files import write_json


def tasks(folder, names, barcodes):
    for name in names:
        encode(folder / name, map(barcodes.draw, range(5)), "h264", 25)
    return [Task(folder / name, stamp(folder / name), None, None, None) for name in names]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_that_hangs_or_crashes_the_decoder_costs_only_itself(workers, tmp_path, barcodes, monkeypatch):
    monkeypatch.setattr(checking, "examine", stuck_checks.examine)
    monkeypatch.setattr(checking_pool, "PATIENCE_S", 1.0)
    names = ["a.mp4", "crashes.mp4", "b.mp4", "hangs.mp4", "c.mp4", "crashes too.mp4", "d.mp4"]
    outcomes = dict(examine_all(tasks(tmp_path, names, barcodes), workers))
    failures = {name: outcomes[position].failure for position, name in enumerate(names)}
    assert failures.pop("hangs.mp4") == "kept the decoder busy for more than 1 s"
    assert failures.pop("crashes.mp4") == failures.pop("crashes too.mp4") == "crashed the decoder (SIGSEGV)"
    assert set(failures.values()) == {""}
    assert [outcomes[position].facts["frames"] for position in (0, 2, 4, 6)] == [5] * 4
    assert outcomes[3].facts is None


def test_as_many_processes_as_workers_are_asked_for_work_at_the_same_time(tmp_path, barcodes, monkeypatch):
    monkeypatch.setattr(checking, "examine", stuck_checks.examine)
    encode(tmp_path / "clips/wave/meets one.mp4", map(barcodes.draw, range(5)), "h264", 25)
    encode(tmp_path / "clips/wave/meets two.mp4", map(barcodes.draw, range(6)), "h264", 25)
    write_lists(tmp_path / "clips", ["wave/meets one.mp4"], ["wave/meets two.mp4"])
    monkeypatch.chdir(tmp_path)
    write_json(tmp_path / "clips.spec.json", dict(dataset="clips", layout="folder", root="clips", max_unusable=0))
    monkeypatch.setattr(checking_pool, "PATIENCE_S", 20.0)
    assert main(["prepare", "--spec", "clips.spec.json", "--workers", "2"]) == 0


def test_no_process_is_started_for_nothing(monkeypatch):
    monkeypatch.setattr(checking_pool, "ProcessPool", None)
    assert list(examine_all([], 2)) == []


def test_processes_that_cannot_start_are_an_error(tmp_path, barcodes, monkeypatch):
    monkeypatch.setattr(checking_pool.interrupt, "heed_parent", stuck_checks.fail_to_start)
    with pytest.raises(UserError, match=r"No process could be started, or kept, to check .*a\.mp4"):
        list(examine_all(tasks(tmp_path, ["a.mp4"], barcodes), 1))
