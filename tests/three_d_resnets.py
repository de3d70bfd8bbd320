"""A network of kenshohara/3D-ResNets-PyTorch as its files describe it: names, shapes, and what they compute.

Written from models/resnet.py and models/resnext.py of that repository, independently of this project's backbones.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCKS = {
    10: (1, 1, 1, 1),
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
}


def layers(kind: str, depth: int, width: int, cardinality: int, shortcut: str):
    """Yields, of each block, name, convolutions as (in, out, kernel, stride, groups), its shortcut likewise or None."""
    inputs = width
    for stage, blocks in enumerate(BLOCKS[depth], start=1):
        for number in range(blocks):
            stride = 2 if stage > 1 and number == 0 else 1
            if kind == "resnext":
                planes = 2 * width * 2 ** (stage - 1)
                middle, outputs = cardinality * int(planes / 32), 2 * planes
                convolutions = [(inputs, middle, 1, 1, 1), (middle, middle, 3, stride, cardinality)]
                convolutions += [(middle, outputs, 1, 1, 1)]
            elif depth >= 50:
                planes = width * 2 ** (stage - 1)
                outputs = 4 * planes
                convolutions = [(inputs, planes, 1, 1, 1), (planes, planes, 3, stride, 1), (planes, outputs, 1, 1, 1)]
            else:
                outputs = width * 2 ** (stage - 1)
                convolutions = [(inputs, outputs, 3, stride, 1), (outputs, outputs, 3, 1, 1)]
            changes = stride != 1 or inputs != outputs
            down = (inputs, outputs, 1, stride, 1) if changes and shortcut == "B" else None
            yield f"layer{stage}.{number}", convolutions, down
            inputs = outputs


def shapes(
    kind: str, depth: int, classes: int, width: int = 64, cardinality: int = 32, shortcut: str = "B", frames: int = 7
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a file's parameters and of batch normalisation's statistics, without the prefix `module.`."""
    found = {}

    def normalisation(name: str, channels: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            found[f"{name}.{part}"] = (channels,)

    def convolution(name: str, inputs: int, outputs: int, kernel: int, groups: int) -> None:
        found[f"{name}.weight"] = (outputs, inputs // groups, kernel, kernel, kernel)

    found["conv1.weight"] = (width, 3, frames, 7, 7)
    normalisation("bn1", width)
    for block, convolutions, down in layers(kind, depth, width, cardinality, shortcut):
        for number, (inputs, outputs, kernel, _, groups) in enumerate(convolutions, start=1):
            convolution(f"{block}.conv{number}", inputs, outputs, kernel, groups)
            normalisation(f"{block}.bn{number}", outputs)
        if down:
            convolution(f"{block}.downsample.0", *down[:3], 1)
            normalisation(f"{block}.downsample.1", down[1])
        features = convolutions[-1][1]
    found["fc.weight"], found["fc.bias"] = (classes, features), (classes,)
    return found


def random_state(*network, **options) -> dict[str, Tensor]:
    """Such a file's parameters, drawn so that no layer makes the next one blind."""
    state = {}
    for name, shape in shapes(*network, **options).items():
        if name.endswith("running_var"):
            state[name] = 0.5 + torch.rand(shape)
        elif len(shape) > 1:
            state[name] = torch.randn(shape) * (2 / torch.Size(shape[1:]).numel()) ** 0.5
        else:
            state[name] = torch.randn(shape) * 0.1 + name.endswith("weight")
    return state


def logits(
    state: dict[str, Tensor], video: Tensor, kind: str, depth: int, width=64, cardinality=32, shortcut="B"
) -> Tensor:
    """Scores (N, classes) of normalised clips (N, 3, T, H, W), in evaluation."""

    def normalised(x: Tensor, name: str) -> Tensor:
        mean, variance, weight, bias = (
            state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, variance, weight, bias)

    stem = state["conv1.weight"]
    x = F.conv3d(video, stem, stride=(1, 2, 2), padding=(stem.shape[2] // 2, 3, 3))
    x = F.max_pool3d(normalised(x, "bn1").relu(), 3, 2, 1)
    for block, convolutions, down in layers(kind, depth, width, cardinality, shortcut):
        residual = x
        for number, (_, _, kernel, stride, groups) in enumerate(convolutions, start=1):
            if number > 1:
                x = x.relu()
            x = F.conv3d(x, state[f"{block}.conv{number}.weight"], None, stride, kernel // 2, groups=groups)
            x = normalised(x, f"{block}.bn{number}")
        if down:
            residual = F.conv3d(residual, state[f"{block}.downsample.0.weight"], stride=down[3])
            residual = normalised(residual, f"{block}.downsample.1")
        elif residual.shape != x.shape:
            residual = F.avg_pool3d(residual, kernel_size=1, stride=2 if residual.shape[-1] != x.shape[-1] else 1)
            zeros = torch.zeros(len(x), x.shape[1] - residual.shape[1], *x.shape[2:])
            residual = torch.cat([residual, zeros], 1)
        x = (x + residual).relu()
    return F.linear(x.mean((2, 3, 4)), state["fc.weight"], state["fc.bias"])
