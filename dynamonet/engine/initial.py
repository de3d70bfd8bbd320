"""What a run starts from: the weights of another run, released ones, or those that its seed draws."""

from pathlib import Path

from torch import nn

from dynamonet.engine.released import initialise_from_release
from dynamonet.engine.weights import initialise_from, load_exactly, read_weights
from dynamonet.spec import RunSpec


def initialise(net: nn.Module, spec: RunSpec, spec_path: Path) -> dict | None:
    """Load what the run starts from; returns its description for the record, None for weights drawn by the seed.

    A run that is evaluated as it is takes its parent's classifier too. Raises UserError for a parent or a checkpoint
    that does not fit.
    """
    if spec.init is not None:
        parent = spec_path.parents[1] / spec.init
        if spec.task != "evaluate":
            return initialise_from(net, spec, parent)
        state, sha256 = read_weights(parent)
        load_exactly(net, state, str(parent / "model.safetensors"))
        return {"run": parent.name, "weights_sha256": sha256, "fresh": [], "left_out": []}
    if spec.checkpoint is not None:
        return initialise_from_release(net, spec, spec_path.parents[2])
    return None
