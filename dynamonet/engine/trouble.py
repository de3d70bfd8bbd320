"""A loss or gradient that is no number: what is kept of the step, and what is said."""

import math
from itertools import chain
from pathlib import Path

from dynamonet.engine.checkpoint import write_state
from dynamonet.errors import UserError
from dynamonet.files import write_json

NAMED_VIDEOS = 4


def not_finite(folder: Path, state: dict, loss: float, norm: float, videos: list[list[str]]) -> UserError:
    """Keep the state before a step's update and the ids of its clips' videos, by process; returns what to raise.

    The running statistics of batch norm in that state have seen the batch.
    """
    step = state["step"]
    path = folder / f"not-finite-{step:08d}.pt"
    write_state(path, state)
    about = {"step": step, "loss": str(loss), "gradient_norm": str(norm), "videos": videos}
    write_json(path.with_suffix(".json"), about)
    ids = list(chain.from_iterable(videos))
    named = ", ".join(ids[:NAMED_VIDEOS]) + (f" and {len(ids) - NAMED_VIDEOS} more" if len(ids) > NAMED_VIDEOS else "")
    what = f"gradient is {norm}" if math.isfinite(loss) else f"loss is {loss}"
    return UserError(
        f"the {what} at step {step}, on clips of {named}: lower learning_rate or look at these videos; the "
        f"state before the step is {path}, with the list of its videos beside it"
    )
