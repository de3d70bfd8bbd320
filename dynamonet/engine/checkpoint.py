"""Checkpoints while a fit is under way: numbered, checksummed, behind one atomic pointer, two kept.

A run killed at any instant goes on from the newest checkpoint that is whole; one that is damaged is refused by
name and the one before it is used.
"""

import io
import shutil
import sys
from pathlib import Path
from typing import Any

import torch

from dynamonet.files import read_json, sha256_bytes, sha256_file, write_bytes, write_json

KEPT = 2


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> None:
    """Write `state` (tensors and plain values) as the newest checkpoint and drop the oldest."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    name = f"step-{step:08d}.pt"
    write_bytes(folder / name, content)
    newest = {"file": name, "step": step, "sha256": sha256_bytes(content)}
    kept = [newest, *(entry for entry in _entries(folder) if entry["file"] != name)][:KEPT]
    # The pointer moves only when the file it names is on the disk, and files go only when it no longer names them.
    write_json(folder / "latest.json", kept)
    for path in folder.glob("step-*.pt"):
        if path.name not in {entry["file"] for entry in kept}:
            path.unlink()


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The newest checkpoint that is whole, on the CPU, or None. Nothing but tensors and plain values is unpickled."""
    for entry in _entries(folder):
        path = folder / entry["file"]
        if path.is_file() and sha256_file(path) == entry["sha256"]:
            return torch.load(path, map_location="cpu", weights_only=True)
        print(f"{path} is missing or damaged and is not used", file=sys.stderr)
    return None


def remove_checkpoints(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _entries(folder: Path) -> list[dict]:
    pointer = folder / "latest.json"
    return read_json(pointer) if pointer.is_file() else []
