"""Starting from a checkpoint that others released: verified, read without running its code, mapped by the model."""

from pathlib import Path

import torch
from torch import Tensor, nn

from dynamonet.engine.download import verify
from dynamonet.engine.weights import head_keys, unmatched
from dynamonet.errors import UserError
from dynamonet.models.catalogue import release_of
from dynamonet.models.release import Release
from dynamonet.spec import Checkpoint, CheckpointSpec, RunSpec, read_spec

COUNTER = ".num_batches_tracked"
"""End of the names of batch normalisation's counters of batches, which PyTorch before 0.4.1 did not save."""


def initialise_from_release(net: nn.Module, spec: RunSpec, study_dir: Path) -> dict:
    """Start from the checkpoint that the run's spec names; the study says where it lies.

    Each part of the network that the checkpoint has, it must have whole, apart from what no file of its format has;
    the other parts stay as they are, and so does the classifier, unless the study asks for the checkpoint's. A run
    that is evaluated as it is must have every part from it. Returns a description for the run's record: `fresh` are the
    parameters that the checkpoint does not give, `left_out` those of it that are not used.
    Raises UserError if the file is absent, another one, no checkpoint of its format, another architecture's, or, where
    its classifier is taken, one of another number of classes.
    """
    checkpoint = spec.checkpoint
    where = read_spec(CheckpointSpec, study_dir / "checkpoints" / f"{checkpoint.name}.spec.json")
    path = Path(where.path)
    release = release_of(spec.build, checkpoint.format)
    sha256 = verify(where)
    if checkpoint.sha256 not in (None, sha256):
        raise UserError(
            f"checkpoint {checkpoint.name}: the SHA-256 of {path} is {sha256[:12]}, the study says "
            f"{checkpoint.sha256[:12]}; get the file again or correct checkpoints.{checkpoint.name}.sha256"
        )
    released = read_release(path, checkpoint, release)
    own = net.state_dict()
    heads = head_keys(spec)
    fresh = set() if checkpoint.classifier else heads
    state = {key: tensor for key, (_, tensor) in released.items() if key not in fresh}
    parts = {key.partition(".")[0] for key in state}
    differences = unmatched(own, state)
    missing = [
        key
        for key in differences["missing"]
        if key not in fresh
        and not key.endswith(COUNTER)
        and (
            spec.task == "evaluate"
            or (key.partition(".")[0] in parts and not any(part in key for part in release.lacks))
        )
    ]
    resized = differences["of another shape"]
    if resized and heads.issuperset(resized):
        raise UserError(
            f"{path} classifies {len(state[resized[0]])} classes, and data set {spec.dataset} has "
            f"{len(own[resized[0]])}: evaluate it on the data set that it was trained on, or train from it"
        )
    problems = {
        "missing in the file": missing,
        "of another shape there": resized,
        "unknown to the model": differences["unknown"],
    }
    for kind, keys in problems.items():
        if keys:
            raise UserError(
                f"{path} holds the weights of another architecture than {spec.model}: {len(keys)} parameters are "
                f"{kind}, first {keys[0]!r}; check the model's options against the file"
            )
    net.load_state_dict({key: state.get(key, value) for key, value in own.items()})
    return {
        "checkpoint": checkpoint.name,
        "weights_sha256": sha256,
        "fresh": differences["missing"],
        "left_out": [theirs for key, (theirs, _) in released.items() if key not in state],
    }


def read_release(path: Path, checkpoint: Checkpoint, release: Release) -> dict[str, tuple[str, Tensor]]:
    """The parameters of a file by the model's names for them, each with its name in the file.

    Raises UserError naming the file if it cannot be read without running code that it holds, or holds something else
    than named tensors.
    """
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file, or one made to do harm, raises anything
        raise UserError(
            f"{path} is damaged, holds code, or is no PyTorch file ({type(error).__name__}): get another"
        ) from error
    state = saved
    if release.entry is not None:
        state = saved.get(release.entry) if isinstance(saved, dict) else None
    if not isinstance(state, dict) or not state:
        raise UserError(
            f"{path} is no checkpoint of the format {checkpoint.format}: it has no {release.entry or 'parameters'!r}"
        )
    parameters = {}
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise UserError(f"{path} is no checkpoint of the format {checkpoint.format}: {name!r} is no tensor")
        if (key := release.own_key(name)) in parameters:
            raise UserError(f"{path} holds the parameter {key} twice: as {parameters[key][0]!r} and {name!r}")
        parameters[key] = name, value
    return parameters


def account(init: dict) -> str:
    """What came of starting from a checkpoint, for the log: every parameter that was not matched, either way."""
    fresh, left_out = (", ".join(init[kind]) or "none" for kind in ("fresh", "left_out"))
    return f"started from checkpoint {init['checkpoint']}; fresh here: {fresh}; left out of the file: {left_out}"
