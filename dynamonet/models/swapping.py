"""Putting modules of another kind in the place of some of a network's."""

from collections.abc import Callable
from typing import TypeVar

from torch import nn

Triple = tuple[int, int, int]
Kind = TypeVar("Kind", bound=nn.Module)


def swap(network: nn.Module, kind: type[Kind], swapped: Callable[[Kind, str], nn.Module]) -> None:
    """Put `swapped(module, name)` in the place of every module inside `network` that is of `kind` itself.

    The name is for messages: `Sequential.1`.
    """
    for parent in list(network.modules()):
        for name, module in list(parent.named_children()):
            if type(module) is kind:
                setattr(parent, name, swapped(module, f"{type(parent).__name__}.{name}"))


def triple(size: int | Triple) -> Triple:
    """A size along time, height and width, as PyTorch's modules keep it, one by one."""
    return (size, size, size) if isinstance(size, int) else tuple(size)
