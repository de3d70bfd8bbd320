import signal
import subprocess
import sys

import pytest

from dynamonet.data.ledger import Ledger
from dynamonet.errors import UserError

WRITER = """
import sys
from pathlib import Path
from dynamonet.data.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]), "folder", Path("/clips"))
number = 0
while True:
    ledger.write(("check", f"video {number}", number), {"frames": number})
    print(number, flush=True)
    number += 1
"""


def test_what_several_processes_wrote_is_known_to_all(tmp_path):
    for number in range(3):
        with Ledger(tmp_path, "folder", "/clips") as ledger:
            ledger.write(("check", 1, f"a b/{number}+!.avi", 5), {"fps": 29.97, "reason": "ä"})
    assert len(list(tmp_path.rglob("*.jsonl"))) == 3
    known = Ledger(tmp_path, "folder", "/clips").read()
    assert known == {("check", 1, f"a b/{number}+!.avi", 5): {"fps": 29.97, "reason": "ä"} for number in range(3)}


def test_data_sets_are_kept_apart(tmp_path):
    with Ledger(tmp_path, "folder", "/clips") as ledger:
        ledger.write(("a",), 1)
    assert Ledger(tmp_path, "folder", "/other clips").read() == {}
    assert Ledger(tmp_path, "ucf101", "/clips").read() == {}


def test_a_ledger_that_nothing_is_written_to_leaves_no_file(tmp_path):
    with Ledger(tmp_path, "folder", "/clips") as ledger:
        ledger.read()
    assert not list(tmp_path.iterdir())


def test_every_line_written_before_a_kill_is_known(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE, text=True)
    said = [process.stdout.readline() for _ in range(50)]
    process.send_signal(signal.SIGKILL)
    said += process.stdout.readlines()
    process.wait()
    written = len([line for line in said if line.endswith("\n")])
    known = Ledger(tmp_path, "folder", "/clips").read()
    assert len(known) in (written, written + 1)
    assert known[("check", f"video {written - 1}", written - 1)] == {"frames": written - 1}


def test_a_torn_last_line_is_ignored_and_a_damaged_one_is_named(tmp_path):
    with Ledger(tmp_path, "folder", "/clips") as ledger:
        ledger.write(("a",), 1)
        ledger.write(("b",), 2)
    (path,) = tmp_path.rglob("*.jsonl")
    whole = path.read_bytes()
    path.write_bytes(whole[:-4])
    assert Ledger(tmp_path, "folder", "/clips").read() == {("a",): 1}
    path.write_bytes(b"\0" * 8 + b"\n" + whole)
    with pytest.raises(UserError, match=rf"{path.name}:1 is damaged; remove the file"):
        Ledger(tmp_path, "folder", "/clips").read()


def test_a_folder_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/folder-\w+ cannot be written \(Not a directory\); mend that"):
        Ledger(tmp_path / "file", "folder", "/clips").write(("a",), 1)
    ledger = Ledger(tmp_path, "folder", "/clips")
    (ledger.folder / "a.jsonl").mkdir(parents=True)
    with pytest.raises(UserError, match=r"a\.jsonl cannot be read \(Is a directory\); make it readable"):
        ledger.read()
