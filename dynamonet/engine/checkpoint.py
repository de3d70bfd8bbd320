"""Checkpoints while a fit is under way: numbered, checksummed, behind one atomic pointer, two kept.

A fit killed at any instant goes on from the newest checkpoint that is whole. One that is damaged is refused by name and
the one before it is used. Where none is left the user decides: what cannot be trusted is an error, and stays there.
"""

import io
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dynamonet.engine.weights import unmatched
from dynamonet.errors import UserError
from dynamonet.files import read_json, sha256_bytes, write_bytes, write_json

KEPT = 2
POINTER = "latest.json"
NAME = re.compile(r"step-\d{8,}\.pt")


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> None:
    """Write `state` (tensors and plain values) as the newest checkpoint and drop the oldest."""
    name = f"step-{step:08d}.pt"
    newest = {"file": name, "step": step, "sha256": write_state(folder / name, state)}
    # Later ones are damaged, or those of a fit that has started anew.
    kept = [newest, *(entry for entry in _entries(folder) if entry["step"] < step)][:KEPT]
    # The pointer moves only when the file it names is on the disk, and files go only when it no longer names them.
    write_json(folder / POINTER, kept)
    for path in folder.glob("*step-*.pt"):  # those that a kill has left half-written, too
        if path.name not in {entry["file"] for entry in kept}:
            path.unlink()


def write_state(path: Path, state: dict[str, Any]) -> str:
    """Write `state` (tensors and plain values), atomically, and return the file's SHA-256."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getbuffer()
    write_bytes(path, content)
    return sha256_bytes(content)


def load_checkpoint(folder: Path, like: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """The newest checkpoint that is whole, on the CPU, or None where there is none at all.

    Nothing but tensors and plain values is unpickled. like: a state that the fit would save now; one of the same
    `origin` is refused if it lacks an entry, or a tensor, or has a tensor of another shape.

    Raises UserError, and removes nothing, if the pointer is damaged or none of the checkpoints can be used.
    """
    refused, entries = [], _entries(folder)
    for entry in entries:
        try:
            state = _read(folder / entry["file"], entry["sha256"], like)
        except ValueError as error:
            refused.append(str(error))
        else:
            for one in refused:
                print(f"{one}: going on from {entry['file']} instead", file=sys.stderr)
            if refused:  # the next save must not keep a damaged one in the place of this
                write_json(folder / POINTER, entries[entries.index(entry) :])
            return state
    if refused:
        raise UserError(f"{' and '.join(refused)}: remove {folder} to start anew")
    return None


def remove_checkpoints(folder: Path) -> None:
    # The pointer first: a kill in between must not leave one that names files which are gone.
    (folder / POINTER).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _entries(folder: Path) -> list[dict]:
    """What the pointer names, newest first. Raises UserError if it is damaged or names a file elsewhere."""
    pointer = folder / POINTER
    if not pointer.is_file():
        return []
    try:
        entries = read_json(pointer)
        whole = bool(entries) and all(
            NAME.fullmatch(entry["file"]) and isinstance(entry["step"], int) and isinstance(entry["sha256"], str)
            for entry in entries
        )
    except (ValueError, TypeError, KeyError):
        whole = False
    if not whole:
        raise UserError(f"{pointer} is damaged: remove {folder} to start anew")
    return entries


def _read(path: Path, sha256: str, like: dict[str, Any] | None) -> dict[str, Any]:
    """The state in a file. Raises ValueError with what is wrong with it."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from error
    if sha256_bytes(content) != sha256:
        raise ValueError(f"{path} is damaged (its SHA-256 is another)")
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # of many kinds: whatever was written there, it is no checkpoint
        raise ValueError(f"{path} holds something else than tensors and plain values") from error
    if not isinstance(state, dict):
        raise ValueError(f"{path} holds something else than the state of a fit")
    # A fit on other data may well have other tensors; what becomes of it is not decided here.
    if like is not None and state.get("origin", like["origin"]) == like["origin"] and (misfit := _misfit(state, like)):
        raise ValueError(f"{path} holds the state of another model or version ({misfit})")
    return state


def _misfit(state: dict[str, Any], like: dict[str, Any], where: str = "") -> str | None:
    """What of `like` the state lacks or has in another shape; None if it fits."""
    for key, own in like.items():
        if key not in state:
            return f"without {where}{key}"
        if not isinstance(own, dict) or not own:
            continue
        found = state[key] if isinstance(state[key], dict) else {}
        if not all(isinstance(value, Tensor) for value in own.values()):
            if misfit := _misfit(found, own, f"{where}{key}."):
                return misfit
            continue
        for kind, names in unmatched(own, found).items():
            if names:
                return f"{where}{key}: {len(names)} keys {kind}, first {names[0]!r}"
    return None
