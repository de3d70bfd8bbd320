"""The project's own files that a stage ran: what they were then, and what they are now. Free of torch."""

import sys
from collections.abc import Iterable
from pathlib import Path

from dynamonet.files import canonical_json, sha256_bytes, sha256_file, sha256_text

PROJECT = Path(__file__).resolve().parent.parent
OWN_PACKAGES = ("dynamonet", "baselines")
SHORT = 16
"""Hex digits of a code file's hash that a record holds."""
WITHOUT_EFFECT = {
    "dynamonet/cli.py": "reads arguments, none of which is part of a result",
    "dynamonet/code_files.py": "writes down which code ran",
    "dynamonet/errors.py": "is the type of an error",
    "dynamonet/progress.py": "says how far a stage is",
    "dynamonet/records.py": "writes down where numbers came from",
    "dynamonet/engine/attempts.py": "writes down starts and stops",
    "dynamonet/engine/memory.py": "says what to do where memory is too small",
    "dynamonet/engine/tracking.py": "shows the log elsewhere",
    "dynamonet/engine/trouble.py": "says what to do where a loss is no number",
    "dynamonet/engine/utilisation.py": "says how busy a GPU was",
}
"""Files that stages import and that take no part in their numbers: a change of these alone makes no result stale."""

GONE = "gone"
"""In the place of the hash of a file that is no longer there."""

_noted: dict[str, str] = {}


def note_code() -> dict[str, str]:
    """SHA-256 of every file of this project that this process has imported, by its path in the project.

    Each is that of the first call that found the file imported: what is edited while a stage runs is not what ran.
    So call it as soon as something is imported, and not at the end alone.
    """
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if path and name.partition(".")[0] in OWN_PACKAGES:
            path = Path(path).resolve()
            file = path.relative_to(PROJECT).as_posix() if path.is_relative_to(PROJECT) else str(path)
            if file not in _noted:
                _noted[file] = sha256_bytes(path.read_bytes()) if path.is_file() else GONE
    return dict(sorted(_noted.items()))


def imported_code() -> dict[str, str]:
    """The files of `note_code` with the first digits of their hashes, as records hold them."""
    return {file: sha256[:SHORT] for file, sha256 in note_code().items()}


def changed_code(recorded: dict[str, str], now: dict[str, str]) -> list[str]:
    """The files of both that differ, those WITHOUT_EFFECT apart."""
    common = (file for file in recorded if file in now and file not in WITHOUT_EFFECT)
    return [file for file in common if recorded[file] != now[file]]


def code_fingerprint() -> str:
    """One hash of the files of `note_code`."""
    return sha256_text(canonical_json(note_code()))


class CodeOnDisk:
    """The project's files as they are now, each hashed when it is first asked for."""

    def __init__(self):
        self._known: dict[str, str] = {}

    def now(self, files: Iterable[str]) -> dict[str, str]:
        """The first digits of each file's hash, as records hold them; GONE for one that is not there."""
        for file in files:
            if file not in self._known:
                path = PROJECT / file
                self._known[file] = sha256_file(path)[:SHORT] if path.is_file() else GONE
        return {file: self._known[file] for file in files}
