"""When a step does not fit into memory: which batch would, and what to set."""

import gc
from collections.abc import Callable
from contextlib import suppress

import psutil
import torch

from dynamonet.engine.device import device_name
from dynamonet.recipe import Recipe

MESSAGES = (
    "can't allocate memory",  # torch's allocator for CPUs
    "CUDA error: out of memory",  # CUDA itself, where torch's allocator has left it nothing
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is what torch raises where memory has run out, on a GPU or a CPU.

    A CPU's operating system often grants more than it has, and then kills the process instead of refusing.
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(message in str(error) for message in MESSAGES)


def largest_that_fits(step: Callable[[int], object], batch_size: int) -> int | None:
    """The largest of batch_size / 2, / 4, ... 1 clips for which `step(clips)` has memory; None where none has.

    To be called after the step of `batch_size` clips has run out, outside of the `except` clause, whose traceback
    holds that step's tensors. `step` does, with that many clips, what a training step does: forward, backward, and
    the optimiser's update, which allocates its state the first time. It leaves the model's state changed.
    """
    while batch_size > 1:
        batch_size //= 2
        gc.collect()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        # Whatever else fails now fails for want of memory too (oneDNN cannot create a primitive), or because one clip
        # is too few for batch normalisation (ValueError).
        with suppress(RuntimeError, MemoryError, ValueError):
            step(batch_size)
            return batch_size
    return None


def advice(recipe: Recipe, processes: int, largest: int | None, device: torch.device) -> str:
    """What to tell the user where memory has run out.

    processes: how many share the batch. largest: how many clips do fit at once, by `largest_that_fits`.
    """
    share = recipe.batch_size // processes
    at_once = share // recipe.accumulation
    smaller = "" if recipe.gradient_checkpointing else "gradient_checkpointing: true"
    said = f"{device_name(device)} ({memory_gib(device):.1f} GiB) ran out of memory with {at_once} clips at once; "
    if largest is None:
        smaller = f"set {smaller} in the recipe, or make" if smaller else "make"
        return f"{said}not one would fit: {smaller} the model's clip smaller"
    parts = next(parts for parts in range(1, share + 1) if share % parts == 0 and share // parts <= largest)
    return (
        f"{said}{largest} would fit: set accumulation: {parts} in the recipe, which computes the same batch of "
        f"{recipe.batch_size} in parts (batch normalisation sees one part at a time){smaller and f', or {smaller}'}"
    )


def memory_gib(device: torch.device) -> float:
    """All the memory that a GPU, or this machine, has."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory / 2**30
    return psutil.virtual_memory().total / 2**30
