"""results/calibration/<device>.json: what steps, passes and reading took on one device. Free of torch."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dynamonet.errors import UserError
from dynamonet.files import canonical_json, write_json
from dynamonet.records import Record

FOLDER = Path("results/calibration")
KINDS = {"steps": "clips_per_s", "passes": "views_per_s", "reading": "per_s"}
"""Kinds of entries, and the rate that one of them holds, of one process, unless it holds a `problem`."""


@dataclass
class Calibration:
    """One device's entries, by kind and then by their settings as canonical JSON; `about`: where and with what."""

    device: str
    about: dict[str, Any] = field(default_factory=dict)
    entries: dict[str, dict[str, dict]] = field(default_factory=lambda: {kind: {} for kind in KINDS})

    def find(self, kind: str, settings: Mapping[str, Any]) -> dict | None:
        return self.entries[kind].get(canonical_json(settings))

    def put(self, kind: str, settings: Mapping[str, Any], **found: Any) -> None:
        self.entries[kind][canonical_json(settings)] = {"settings": settings, **found}

    @property
    def path(self) -> Path:
        return FOLDER / f"{re.sub(r'[^A-Za-z0-9]+', '-', self.device).strip('-').lower()}.json"

    def save(self) -> Path:
        """Write the file, with what other studies have left there."""
        before = read_calibration(self.path) if self.path.is_file() else Calibration(self.device)
        merged = {kind: list((before.entries[kind] | self.entries[kind]).values()) for kind in KINDS}
        write_json(self.path, {"device": self.device, "about": self.about, **merged})
        return self.path


def read_calibration(path: Path) -> Calibration:
    """Raises UserError for a file that `dynamonet calibrate` did not write."""
    record = Record.read(path)
    read = Calibration(record.get("device"), record.find("about") or {})
    for kind, rate in KINDS.items():
        for entry in record.find(kind) or []:
            if not isinstance(entry, dict) or "settings" not in entry or not ({"problem", rate} & set(entry)):
                raise UserError(f"{path} holds no calibration at {kind}: remove it and run `dynamonet calibrate` again")
            read.entries[kind][canonical_json(entry["settings"])] = entry
    return read


def read_calibrations(folder: Path = FOLDER) -> dict[str, Calibration]:
    """Every device's calibration, by the device's name. Raises UserError for a broken file."""
    found = [read_calibration(path) for path in sorted(folder.glob("*.json"))]
    return {calibration.device: calibration for calibration in found}
