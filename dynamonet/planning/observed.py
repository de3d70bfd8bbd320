"""What finished jobs of all studies took: their records, by device and settings. Free of torch."""

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dynamonet.errors import UserError
from dynamonet.files import canonical_json
from dynamonet.planning.settings import clip_settings, pass_settings, step_settings, view_settings
from dynamonet.records import Record
from dynamonet.spec import ModelSpec, RunSpec, load_spec, read_spec

SCORED = {"evaluate": ("scored",), "retrieve": ("queried", "gallery_used")}
"""Counts of the videos that a stage's record has been through."""


@dataclass(frozen=True)
class Seen:
    """One finished job. units: the clips, videos or models that it went through. data: how it read them."""

    name: str
    units: float
    unit_s: float
    """Seconds of the whole job for one more of them."""
    start_s: float
    """Seconds that it took beside those."""
    data: str = ""


@dataclass
class Observed:
    """`seen`: by device, stage, processes and settings. unread: folders of runs whose specs another version wrote."""

    seen: dict[tuple[str, str, int, str], list[Seen]] = field(default_factory=lambda: defaultdict(list))
    unread: list[Path] = field(default_factory=list)

    def find(self, device: str, stage: str, processes: int, settings: dict[str, Any]) -> list[Seen]:
        return self.seen.get((device, stage, processes, canonical_json(settings)), [])

    @property
    def devices(self) -> set[str]:
        """Those that something has been trained on or evaluated with."""
        return {device for device, stage, *_ in self.seen if stage != "measure"}


def observe(results: Path) -> Observed:
    """Read the records of every study under `results`. Raises UserError for a broken record."""
    observed = Observed()
    for folder in sorted(results.glob("*/runs/*/")):
        stages = [stage for stage in ("fit", *SCORED) if (folder / f"{stage}.json").is_file()]
        if not stages:
            continue
        try:
            spec = load_spec(folder / "spec.json")
        except UserError:
            observed.unread.append(folder)
            continue
        for stage in stages:
            _add_run(observed, stage, spec, Record.read(folder / f"{stage}.json"))
    for path in sorted(results.glob("*/measure/*.spec.json")):
        record_path = path.with_name(f"{path.name.removesuffix('.spec.json')}.json")
        if record_path.is_file():
            record, settings = Record.read(record_path), read_spec(ModelSpec, path).model_dump(mode="json")
            seen = Seen(record.get("model"), 1, record.number("time.wall_s"), 0.0)
            _add(observed, record, "measure", 1, settings, seen)
    return observed


def _add_run(observed: Observed, stage: str, spec: RunSpec, record: Record) -> None:
    wall_s = record.number("time.wall_s")
    processes = record.find("provenance.world_size") or 1
    if stage in SCORED:
        videos = sum(record.number(f"counts.{name}") for name in SCORED[stage])
        seen = Seen(spec.run, videos, wall_s / videos, 0.0, canonical_json(view_settings(spec)))
        _add(observed, record, stage, processes, pass_settings(spec), seen)
    elif record.find("time.clips_per_s"):  # what adopts weights trains on no clip
        clips, rate = spec.recipe.steps * spec.recipe.batch_size, record.number("time.clips_per_s")
        seen = Seen(spec.run, clips, 1 / rate, max(0.0, wall_s - clips / rate), canonical_json(clip_settings(spec)))
        _add(observed, record, "fit", processes, step_settings(spec, processes), seen)


def _add(observed: Observed, record: Record, stage: str, processes: int, settings: dict, seen: Seen) -> None:
    observed.seen[record.get("provenance.device"), stage, processes, canonical_json(settings)].append(seen)
