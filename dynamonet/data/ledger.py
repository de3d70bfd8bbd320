"""What is known of a data set's files, kept so that none is checked twice: lines are added, never changed.

One folder per data set, in it one file per process that writes, so that the nodes of a cluster never write to one file
and a kill can damage a last line only. Whoever reads takes the lines of all files. Each line is a pair of a key and a
value; a key holds what the value depends on (a file's path, size and time of change; the version of a check), so that
a line is true for ever and nothing is taken back.
"""

import errno
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from dynamonet.errors import UserError
from dynamonet.files import sha256_text

Key = tuple[str | int, ...]


class Ledger:
    def __init__(self, checked: Path, layout: str, root: Path):
        """`checked` holds the ledgers of all data sets; this one is that of the data set at `root`."""
        self.folder = Path(checked) / f"{layout}-{sha256_text(str(Path(root).resolve()))[:8]}"
        self._file = None

    def read(self) -> dict[Key, Any]:
        """All that is known. Raises UserError for a file that holds anything but whole lines and a torn last one."""
        known = {}
        for path in sorted(self.folder.glob("*.jsonl")):
            try:
                *lines, _torn = path.read_bytes().split(b"\n")
            except OSError as error:
                raise UserError(f"{path} cannot be read ({error.strerror}); make it readable.") from None
            for number, line in enumerate(lines, start=1):
                try:
                    key, value = json.loads(line)
                    known[tuple(key)] = value
                except (ValueError, TypeError):
                    raise UserError(
                        f"{path}:{number} is damaged; remove the file, and what it says is checked again."
                    ) from None
        return known

    def write(self, key: Key, value: Any) -> None:
        """Add a line, which stays if this process is killed as soon as this returns.

        Raises UserError where the folder cannot be written.
        """
        line = json.dumps([key, value], allow_nan=False).encode() + b"\n"
        try:
            if self._file is None:
                self.folder.mkdir(parents=True, exist_ok=True)
                name = f"{socket.gethostname()}-{os.getpid()}-{time.time_ns()}.jsonl"
                self._file = (self.folder / name).open("xb", buffering=0)
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise UserError(
                f"{self.folder} cannot be written ({error.strerror}); mend that, and start again: what is checked"
                " stays known."
            ) from None

    def close(self) -> None:
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_) -> None:
        self.close()
