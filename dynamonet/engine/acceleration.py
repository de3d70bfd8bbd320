"""What makes a step faster or smaller: memory format, reduced precision, checkpointing, compiler.

Works on any network of the catalogue. Gradient checkpointing is that of Chen et al. (arXiv 1604.06174).
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import MethodType

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from dynamonet.data.device_batch import DeviceBatch, on_device
from dynamonet.errors import UserError
from dynamonet.models.avg_pool3d import deterministic_averaging
from dynamonet.models.max_pool3d import deterministic_pooling
from dynamonet.recipe import Execution, Recipe

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def accelerate(model: nn.Module, recipe: Execution) -> None:
    """Prepare a model in place, on its device, as the recipe asks; the keys of its state dict stay.

    To be called before processes share the model and an optimiser takes its parameters. Raises UserError for
    gradient_checkpointing where the model has no blocks, and for deterministic where it pools in ways that cannot be.
    """
    if recipe.deterministic and not next(model.parameters()).is_cpu:
        deterministic_pooling(model)
        deterministic_averaging(model)
    if recipe.channels_last:
        for parameter in model.parameters():
            if parameter.dim() == 5:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)
    if recipe.gradient_checkpointing:
        blocks = repeated_blocks(model)
        if not blocks:
            raise UserError(
                "gradient_checkpointing recomputes the blocks that a model repeats in an nn.Sequential or "
                "nn.ModuleList, and this model has none: set it to false in the recipe"
            )
        for block in blocks:
            block.forward = MethodType(_checkpointed, block)
    if recipe.compile:
        _make_integers_plain(model)
        model.compile(dynamic=False)


def as_input(video: Tensor | DeviceBatch, recipe: Execution, device: torch.device) -> Tensor:
    """The `video` of a batch, uint8 (N, C, T, H, W), as a network wants it: on its device, float32 in [0, 1], in its
    format. Bytes travel, a quarter of the size.
    """
    memory_format = torch.channels_last_3d if recipe.channels_last else torch.contiguous_format
    video = on_device(video, device)
    return video.to(torch.float32, memory_format=memory_format).div_(255)


def autocast(recipe: Execution, device: torch.device) -> torch.autocast:
    """The context of a forward pass: products in the recipe's precision, everything else as torch's lists say."""
    return torch.autocast(device.type, AUTOCAST.get(recipe.precision), enabled=recipe.precision in AUTOCAST)


def scaler(recipe: Recipe, device: torch.device) -> torch.amp.GradScaler:
    """Scales the loss where gradients would vanish, in fp16; elsewhere it lets everything through."""
    return torch.amp.GradScaler(device.type, enabled=recipe.precision == "fp16")


def repeated_blocks(model: nn.Module) -> list[nn.Module]:
    """The innermost blocks of several layers that a Sequential or ModuleList repeats: a ResNet's, a transformer's.

    Repeats: all its members that hold parameters are of one class. A block keeps its inputs only, so that what is
    kept in all is one tensor per block and, during backward, the inside of one.
    """
    blocks = []
    for module in model.children():
        inner = repeated_blocks(module)
        blocks += inner or (_blocks_of(module) if isinstance(module, nn.Sequential | nn.ModuleList) else [])
    return blocks


def _blocks_of(members: nn.Module) -> list[nn.Module]:
    weighty = [member for member in members if next(member.parameters(), None) is not None]
    alike = len({type(member) for member in weighty}) == 1
    # Recomputing a single layer saves nothing: it needs its input for its own backward.
    return weighty if alike and all(next(member.children(), None) is not None for member in weighty) else []


def _make_integers_plain(model: nn.Module) -> None:
    """pytorchvideo computes strides and kernels with NumPy, and the compiler takes NumPy's integers for tensors."""
    for module in model.modules():
        for name, value in vars(module).items():
            if isinstance(value, tuple) and any(isinstance(number, np.integer) for number in value):
                setattr(module, name, tuple(map(int, value)))


def _checkpointed(block: nn.Module, *args, **kwargs):
    """The block's forward, which keeps its inputs and computes the rest again when backward needs it."""
    forward = type(block).forward
    if not torch.is_grad_enabled():
        return forward(block, *args, **kwargs)
    if torch.compiler.is_compiling():
        # The compiler recomputes by operators, and leaves out those that write statistics.
        return checkpoint(forward, block, *args, use_reentrant=False, **kwargs)
    return checkpoint(
        forward,
        block,
        *args,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), _statistics_kept(block)),
        **kwargs,
    )


@contextmanager
def _statistics_kept(block: nn.Module) -> Iterator[None]:
    """Within, batch normalisation leaves its running statistics alone: the first forward pass has updated them."""
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked = norm.num_batches_tracked.clone()  # counts, to be thrown away
    try:
        yield
    finally:
        for norm, (momentum, batches) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, batches
