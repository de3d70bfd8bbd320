"""What may befall a checkpoint, by accident and by intent."""

from pathlib import Path

import torch

from dynamonet.files import read_json, sha256_file, write_json


def forge(path: Path, content: bytes) -> None:
    """Put content in place of a checkpoint, and its checksum into the pointer."""
    path.write_bytes(content)
    pointer = path.with_name("latest.json")
    entries = read_json(pointer)
    next(entry for entry in entries if entry["file"] == path.name)["sha256"] = sha256_file(path)
    write_json(pointer, entries)


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def noise(path: Path) -> None:
    forge(path, bytes(range(256)) * 8)


def list_of_numbers(path: Path) -> None:
    torch.save([1, 2], path)
    forge(path, path.read_bytes())


def another_model(path: Path) -> None:
    state = torch.load(path, weights_only=True)
    torch.save(state | {"model": {"fc.weight": torch.zeros(4), "fc.bias": torch.zeros(1)}}, path)
    forge(path, path.read_bytes())


def another_version(path: Path) -> None:
    state = torch.load(path, weights_only=True)
    del state["step"]
    torch.save(state, path)
    forge(path, path.read_bytes())
