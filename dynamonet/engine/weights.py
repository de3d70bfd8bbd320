"""Final weights: written with a checksum, read with verification, and handed from one run to the next."""

from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from dynamonet.errors import UserError
from dynamonet.files import read_json, sha256_bytes, write_bytes
from dynamonet.models.classifier import build_classifier
from dynamonet.spec import RunSpec


def save_weights(state: dict[str, Tensor], path: Path) -> str:
    """Write a state dict as safetensors and return the file's SHA-256."""
    content = save({key: value.detach().cpu().contiguous() for key, value in state.items()})
    write_bytes(path, content)
    return sha256_bytes(content)


def read_weights(run_dir: Path) -> tuple[dict[str, Tensor], str]:
    """The verified final weights of a run and their SHA-256.

    Raises UserError if the run is not finished or its weights are not the ones that its record names.
    """
    path, record = run_dir / "model.safetensors", run_dir / "fit.json"
    if not path.is_file() or not record.is_file():
        raise UserError(f"{run_dir} has no finished weights: run its training first")
    content = path.read_bytes()
    expected, found = read_json(record)["weights_sha256"], sha256_bytes(content)
    if expected != found:
        raise UserError(
            f"{path} is damaged: its SHA-256 is {found[:12]}, the record says {expected[:12]}; train it again"
        )
    return load(content), expected


def load_exactly(net: nn.Module, state: dict[str, Tensor], origin: str) -> None:
    """Load a state dict that must fit in every key and shape. Raises UserError naming the first that does not."""
    problems = unmatched(net.state_dict(), state)
    if any(problems.values()):
        kind, keys = next((kind, keys) for kind, keys in problems.items() if keys)
        raise UserError(f"{origin} holds the weights of another model: {len(keys)} keys {kind}, first {keys[0]!r}")
    net.load_state_dict(state)


def unmatched(own: dict[str, Tensor], state: dict[str, Tensor]) -> dict[str, list[str]]:
    """Keys of a model that a state dict lacks, that it has beyond the model, and whose shapes differ."""
    return {
        "missing": [key for key in own if key not in state],
        "unknown": [key for key in state if key not in own],
        "of another shape": [key for key in own if key in state and own[key].shape != state[key].shape],
    }


def head_keys(spec: RunSpec) -> set[str]:
    """The parameters whose shape depends on the number of classes: the classifier, whatever it is called."""
    with torch.device("meta"):
        one, two = (
            build_classifier(spec.build, classes, spec.options, spec.clip).net.state_dict() for classes in (5, 7)
        )
    return {key for key in one if one[key].shape != two[key].shape}


def initialise_from(net: nn.Module, spec: RunSpec, parent_dir: Path) -> dict:
    """Start from another run's weights; the classifier stays fresh, since the classes are others.

    Parameters that the parent has and this model lacks are left out and named in the returned description.
    Raises UserError if this model, its classifier apart, has a parameter that the parent does not.
    """
    state, sha256 = read_weights(parent_dir)
    fresh = head_keys(spec)
    own = net.state_dict()
    problems = unmatched({key: value for key, value in own.items() if key not in fresh}, state)
    for kind in ("missing", "of another shape"):
        if problems[kind]:
            raise UserError(
                f"{spec.run} cannot start from {parent_dir.name}: {len(problems[kind])} keys {kind} there, "
                f"first {problems[kind][0]!r}"
            )
    net.load_state_dict({key: value if key in fresh else state[key] for key, value in own.items()})
    left_out = [key for key in problems["unknown"] if key not in fresh]
    return {"run": parent_dir.name, "weights_sha256": sha256, "fresh": sorted(fresh), "left_out": left_out}
