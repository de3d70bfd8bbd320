"""log.jsonl: what a fit says of its steps, and how fast they are."""

import json
import math
import os
from pathlib import Path

import torch
from torch import Tensor

from dynamonet.engine.objective import VALUES
from dynamonet.errors import UserError
from dynamonet.files import write_text


class TrainingLog:
    """The steps of a fit: their VALUES until a line holds their means, and the time spent on them.

    A line holds means over the steps since the last one; its speed is that since the start. The file is the truth;
    whatever shows it elsewhere is a copy.
    """

    def __init__(self, path: Path):
        self.path = path
        self.last: dict = {}
        self._unlogged: list[Tensor] = []
        self.wait_s, self.busy_s = 0.0, 0.0

    def state_dict(self) -> dict:
        return {"last": self.last, "unlogged": self._unlogged, "wait_s": self.wait_s, "busy_s": self.busy_s}

    def load_state_dict(self, state: dict) -> None:
        self.last, self._unlogged = state["last"], state["unlogged"]
        self.wait_s, self.busy_s = state["wait_s"], state["busy_s"]

    def go_on_from(self, step: int) -> None:
        """Keep the lines up to a step. The file may be ahead of it, its last line cut off: those steps come again.

        Raises UserError for a line that is none of this log.
        """
        lines = self.path.read_text().splitlines(keepends=True) if self.path.is_file() else []
        whole = [line for line in lines if line.endswith("\n")]
        try:
            kept = [line for line in whole if json.loads(line)["step"] <= step]
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(
                f"{self.path} is damaged: remove it to go on without the lines so far, or with the folder checkpoints "
                "beside it to start anew"
            ) from error
        write_text(self.path, "".join(kept))

    def add(self, values: Tensor, waited_s: float, busy_s: float) -> None:
        """A step has ended: its VALUES, and the seconds it waited for its batch and computed."""
        self._unlogged.append(values)
        self.wait_s += waited_s
        self.busy_s += busy_s

    def line(self, step: int, steps: int, **about: float) -> None:
        """Sum up the steps since the last line, as `last`."""
        means = torch.stack(self._unlogged).mean(0).tolist()
        self._unlogged = []
        values = {name: None if math.isnan(mean) else round(mean, 6) for name, mean in zip(VALUES, means, strict=True)}
        self.last = {"step": step, "steps": steps, **values, **about}

    def write(self, **speed: float) -> dict:
        """Append the last line, with figures that depend on the machine; returns it."""
        line = {**self.last, **speed}
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())  # a checkpoint that is on the disk relies on it, even if the power fails
        return line

    def speed(self, clips: int) -> dict[str, float]:
        """Training throughput and the share of time spent waiting for data, over the `clips` that were trained on."""
        total = max(self.wait_s + self.busy_s, 1e-9)
        return {"clips_per_s": round(clips / total, 2), "data_wait_share": round(self.wait_s / total, 4)}
