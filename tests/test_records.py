"""What a record says of the code that ran."""

import subprocess
import sys

import pytest

from dynamonet.code_files import GONE, PROJECT, changed_code
from dynamonet.engine.attempts import Attempts
from dynamonet.errors import UserError
from dynamonet.files import read_json, sha256_text
from dynamonet.records import Record

STAGE = """
import sys
from pathlib import Path
import dynamonet.records
from dynamonet.records import Stopwatch, write_record
assert dynamonet.records.__file__.startswith(sys.argv[1])

watch = Stopwatch()
Path(sys.argv[1], "dynamonet/files.py").open("a").write("# edited while the stage runs")
import baselines
Path(sys.argv[1], "dynamonet/errors.py").unlink()
write_record(Path("fit.json"), "train", device="cpu", time=watch.read(), provenance={"seed": 1})
"""


def test_the_code_of_a_record_is_what_ran_and_nothing_else(tmp_path):

    texts = {}
    for file in ("__init__", "records", "code_files", "errors", "files"):
        texts[f"dynamonet/{file}.py"] = (PROJECT / f"dynamonet/{file}.py").read_text()
    texts["baselines/__init__.py"] = (PROJECT / "baselines/__init__.py").read_text()
    for file, text in {**texts, "dynamonet/unused.py": ""}.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
    (tmp_path / "stage.py").write_text(STAGE)
    subprocess.run([sys.executable, "stage.py", str(tmp_path)], cwd=tmp_path, check=True)
    provenance = read_json(tmp_path / "fit.json")["provenance"]
    assert provenance["code"] == {file: sha256_text(text)[:16] for file, text in sorted(texts.items())}
    assert len(provenance["code_sha256"]) == 64
    assert provenance["seed"] == 1


def test_what_counts_as_changed_code():
    recorded = {"a.py": "1", "b.py": "2", "dynamonet/cli.py": "3", "only_here.py": "4"}
    now = {"a.py": "1", "b.py": GONE, "dynamonet/cli.py": "0", "only_there.py": "5"}
    assert changed_code(recorded, now) == ["b.py"]


@pytest.mark.parametrize(("step", "expected"), [(10, ["dynamonet/engine/update.py"]), (0, None)])
def test_a_fit_that_goes_on_with_other_code_says_so_unless_it_starts_anew(tmp_path, monkeypatch, step, expected):
    attempts = Attempts(tmp_path)
    for digits, start in (("a", 0), ("b", step)):
        code = {"dynamonet/engine/update.py": digits * 16, "dynamonet/cli.py": digits * 16, "same.py": "c" * 16}
        monkeypatch.setattr("dynamonet.engine.attempts.imported_code", lambda code=code: code)
        attempts.begin(start)
    provenance = attempts.provenance(20)
    assert provenance.get("resumed_with_changed") == expected
    assert not any("code" in attempt for attempt in provenance["attempts"])


def test_a_key_that_a_record_lacks_is_named(tmp_path):
    path = tmp_path / "fit.json"
    path.write_text('{"metrics": {"steps": 3, "name": "x"}}')
    record = Record.read(path)
    assert record.number("metrics.steps") == 3
    assert record.find("metrics.steps.more") is None
    with pytest.raises(UserError, match=r"no value at 'metrics\.top1'"):
        record.get("metrics.top1")
    with pytest.raises(UserError, match=r"holds 'x' at 'metrics\.name'"):
        record.number("metrics.name")
