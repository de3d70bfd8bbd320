"""Every start and stop of a fit, kept beside its checkpoints until its record holds them."""

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from dynamonet.code_files import changed_code, imported_code
from dynamonet.files import write_text


class Attempts:
    """`attempts.jsonl`: a line for each start and each stop by a signal; a process that is killed adds none."""

    def __init__(self, folder: Path):
        self.path = folder / "attempts.jsonl"

    def forget(self) -> None:
        """Those that were there are attempts at another fit."""
        self.path.unlink(missing_ok=True)

    def begin(self, step: int) -> None:
        self._add(
            "start",
            step,
            host=platform.node(),
            slurm_job_id=os.environ.get("SLURM_JOB_ID"),
            slurm_restart_count=os.environ.get("SLURM_RESTART_COUNT"),
            code=imported_code(),
        )

    def stop(self, step: int, signal_name: str) -> None:
        self._add("stop", step, signal=signal_name)

    def provenance(self, final_step: int) -> dict:
        """For the record of the fit that has now reached `final_step`: one entry per start.

        Where files have changed from one start to the next that went on from its steps, `resumed_with_changed` names
        them.
        """
        attempts, before, changed = [], {}, set()
        for event in map(json.loads, self._lines()):
            if event["event"] == "start":
                if event["step"]:
                    changed |= set(changed_code(before, event["code"]))
                before = event["code"]
                where = {key: event[key] for key in ("host", "slurm_job_id", "slurm_restart_count")}
                attempts.append(
                    dict(started_at=event["time"], from_step=event["step"], to_step=None, stopped_by=None, **where)
                )
            else:
                attempts[-1].update(to_step=event["step"], stopped_by=event["signal"])
        attempts[-1]["to_step"] = final_step
        about = {"attempts": attempts, "restarts": len(attempts) - 1}
        return {**about, "resumed_with_changed": sorted(changed)} if changed else about

    def _add(self, event: str, step: int, **about) -> None:
        time = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        line = json.dumps({"event": event, "time": time, "step": step, **about}) + "\n"
        # Written as a whole: appended to, a line that a crash cut off would spoil the next one.
        write_text(self.path, "".join([*self._lines(), line]))

    def _lines(self) -> list[str]:
        if not self.path.is_file():
            return []
        return [line for line in self.path.read_text().splitlines(keepends=True) if line.endswith("\n")]
