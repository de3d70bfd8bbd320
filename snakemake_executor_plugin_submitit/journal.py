"""What happened to one job: a line per start, signal and end, written by the job, read by Snakemake."""

import json
import os
import time
from pathlib import Path


class Journal:
    """Append-only file of JSON lines. A line cut off by a crash is not read."""

    def __init__(self, path: Path):
        self.path = Path(path)

    def write(self, event: str, **content) -> None:
        line = json.dumps({"event": event, "time": round(time.time(), 3), **content}) + "\n"
        # One write at the end of the file: whole lines, also when a stale process still writes.
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)

    def read(self) -> list[dict]:
        try:
            text = self.path.read_text()
        except FileNotFoundError:
            return []
        events = []
        for line in text.splitlines():
            try:
                events.append(json.loads(line))
            except ValueError:
                continue
        return events


def idle_restarts(events: list[dict], progress: str | None) -> int:
    """How many starts in a row, up to now, found the job no further than `progress`."""
    count = 0
    for event in reversed([event for event in events if event["event"] == "start"]):
        if event["progress"] != progress:
            break
        count += 1
    return count
