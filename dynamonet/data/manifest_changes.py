"""Which videos differ between two manifests; every manifest that was prepared, kept by its hash. Free of torch."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dynamonet.data.manifest import Manifest

MOST_NAMED = 3
"""Videos that a sentence names."""


def kept_path(manifest_path: Path, sha256: str) -> Path:
    """Where a data set's manifest with this hash is kept: preparing it again replaces the one at `manifest_path`."""
    return manifest_path.parent / "kept" / f"{manifest_path.stem}-{sha256[:12]}.parquet"


def keep(manifest: Manifest, manifest_path: Path) -> None:
    """Keep a manifest that has just been prepared, so that a later one can be compared with it."""
    path = kept_path(manifest_path, manifest.sha256)
    if not path.is_file():
        manifest.save(path)


def find_manifest(manifest_path: Path, sha256: str) -> Manifest | None:
    """The manifest with this hash, as it is now or was kept; None if it is neither."""
    for path in (kept_path(manifest_path, sha256), manifest_path):
        if path.is_file() and (manifest := Manifest.load(path)).sha256 == sha256:
            return manifest
    return None


@dataclass(frozen=True)
class ManifestChanges:
    """What differs between manifests a and b, of what their hashes are taken of.

    rows: by video id, the columns that differ, with their values in a and b; a video that one of them lacks has the
    column `id` alone, None there. parts: what is no row's: `classes`, `splits`, `copies`, and `order of rows` where
    rows differ in nothing else.
    """

    rows: dict[str, dict[str, tuple]]
    parts: list[str]

    @classmethod
    def between(cls, a: Manifest, b: Manifest) -> "ManifestChanges":
        rows: dict[str, dict[str, tuple]] = {}
        parts = [name for name in ("classes", "splits", "copies") if getattr(a, name) != getattr(b, name)]
        left, right = _by_id(a), _by_id(b)
        rows |= {video: {"id": (video, None)} for video in left.index.difference(right.index, sort=False)}
        rows |= {video: {"id": (None, video)} for video in right.index.difference(left.index, sort=False)}
        both = left.index.intersection(right.index, sort=False)
        columns = list(dict.fromkeys([*left.columns, *right.columns]))
        left, right = (one.astype(object).reindex(index=both, columns=columns, fill_value="") for one in (left, right))
        unequal = left != right
        for video in both[unequal.any(axis=1)]:
            rows[video] = {c: (left.at[video, c], right.at[video, c]) for c in columns if unequal.at[video, c]}
        if not rows and a.rows["id"].tolist() != b.rows["id"].tolist():
            parts.append("order of rows")
        return cls(rows, parts)

    def __str__(self) -> str:
        """`1 row differs: v_X_g01_c01 frames 120 → 121`."""
        said = [f"{', '.join(self.parts)} differ"] if self.parts else []
        if self.rows:
            named = "; ".join(f"{video} {_values(columns)}" for video, columns in list(self.rows.items())[:MOST_NAMED])
            more = f"; and {len(self.rows) - MOST_NAMED} more" if len(self.rows) > MOST_NAMED else ""
            said.append(f"{len(self.rows)} {'row differs' if len(self.rows) == 1 else 'rows differ'}: {named}{more}")
        return "; ".join(said)


def _by_id(manifest: Manifest) -> pd.DataFrame:
    """The identifying columns by video id; where a list has an id again, `id#2` and so on."""
    rows = manifest.rows[list(manifest.identifying_columns)]
    again = rows.groupby("id").cumcount()
    return rows.set_index(rows["id"].where(again == 0, rows["id"] + "#" + (again + 1).astype(str))).drop(columns="id")


def _values(columns: dict[str, tuple]) -> str:
    if "id" in columns:
        return "only in the second" if columns["id"][0] is None else "only in the first"
    return ", ".join(f"{name} {_shown(a)} → {_shown(b)}" for name, (a, b) in columns.items())


def _shown(value: object) -> str:
    text = "nothing" if value == "" else str(value)
    return text[:12] if len(text) == 64 else text
