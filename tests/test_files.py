import os
from pathlib import Path

import pytest

from dynamonet.files import atomic_path, canonical_json, sha256_file, write_json, write_text


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "table.csv"
    write_text(path, "old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_content_is_on_the_disk_before_the_name_and_the_name_before_the_end(tmp_path, monkeypatch):
    done = []
    sync, replace = os.fsync, Path.replace

    def synced(handle):
        path = Path(f"/proc/self/fd/{handle}").readlink()
        done.append(("sync", path if path.is_dir() else path.read_text()))
        sync(handle)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", lambda old, new: (done.append(("rename", new)), replace(old, new)))
    write_text(tmp_path / "table.csv", "content")
    assert done == [("sync", "content"), ("rename", tmp_path / "table.csv"), ("sync", tmp_path)]


def test_files_are_readable_by_others(tmp_path):
    write_text(tmp_path / "table.csv", "x")
    assert (tmp_path / "table.csv").stat().st_mode & 0o777 == 0o644


def test_equal_values_have_equal_text():
    assert canonical_json({"a": 1, "b": [0.5]}) == canonical_json({"b": [0.5], "a": 1})


def test_a_number_that_json_has_not_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "record.json", {"loss": float("nan")})


def test_hash_of_a_file(tmp_path):
    write_text(tmp_path / "empty", "")
    assert sha256_file(tmp_path / "empty").startswith("e3b0c44298fc1c14")
