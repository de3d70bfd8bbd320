"""3D-ResNet and 3D-ResNeXt backbones of Hara et al. (CVPR 2018), with the parameter names of 3D-ResNets-PyTorch.

Geometry, widths, shortcut types and initialisation are those of kenshohara/3D-ResNets-PyTorch (models/resnet.py,
models/resnext.py).
"""

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from dynamonet.models.options import BLOCKS_PER_STAGE, BOTTLENECKS, EXPANSION


def conv(inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> nn.Conv3d:
    return nn.Conv3d(inputs, outputs, size, stride, padding=size // 2, groups=groups, bias=False)


class BasicBlock(nn.Module):
    """Two 3 x 3 x 3 convolutions. `gate` is applied to their result before the shortcut is added."""

    def __init__(self, inputs: int, outputs: int, stride: int, downsample: nn.Module, gate: nn.Module):
        super().__init__()
        self.conv1 = conv(inputs, outputs, 3, stride)
        self.bn1 = nn.BatchNorm3d(outputs)
        self.conv2 = conv(outputs, outputs, 3)
        self.bn2 = nn.BatchNorm3d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample
        self.stc = gate

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.stc(self.bn2(self.conv2(x))) + shortcut)


class Bottleneck(nn.Module):
    """Convolutions of 1, 3 x 3 x 3 (grouped in a ResNeXt) and 1; `gate` as in `BasicBlock`."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, downsample: nn.Module, gate: nn.Module, middle: int, groups: int
    ):
        super().__init__()
        self.conv1 = conv(inputs, middle, 1)
        self.bn1 = nn.BatchNorm3d(middle)
        self.conv2 = conv(middle, middle, 3, stride, groups)
        self.bn2 = nn.BatchNorm3d(middle)
        self.conv3 = conv(middle, outputs, 1)
        self.bn3 = nn.BatchNorm3d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample
        self.stc = gate

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.relu(self.stc(self.bn3(self.conv3(x))) + shortcut)


class ZeroPaddedShortcut(nn.Module):
    """Shortcut type A, without parameters: every `stride`-th position, and zeros for the channels that are new.

    Unlike in the repository, which detaches it, the gradient flows through the shortcut.
    """

    def __init__(self, new_channels: int, stride: int):
        super().__init__()
        self.new_channels, self.stride = new_channels, stride

    def forward(self, x: Tensor) -> Tensor:
        step = self.stride
        return F.pad(x[:, :, ::step, ::step, ::step], (0, 0, 0, 0, 0, 0, 0, self.new_channels))


class ResNet3D(nn.Module):
    """Backbone without classifier. `forward` returns the feature maps of the stem and of the four stages.

    Input (N, 3, T, H, W), normalised. The stem keeps time and halves space; a max-pool halves both before
    the first stage; the later stages halve both again. `channels` are those of the five maps.

    depth: 10, 18, 34, 50 or 101; 50 or 101 for a ResNeXt. width: channels of the stem (64 in the paper), of which
    all other widths are multiples. stem_frames: temporal size of the stem's kernel (7 in the paper), odd.
    kind: resnet or resnext. cardinality: groups of a ResNeXt (32 in the paper); a group has width / 16 channels in
    the first stage. shortcut: B, a convolution where the size changes, or A, zero padding (the files of 2017 for 18
    and 34 layers). frames: T, which a gate needs. gate: from the channels and the time steps of a stage to the module
    at the end of each of its blocks' branches, named `stc` there; None: none.

    `forward` raises ValueError for a clip that has not `frames` frames.
    """

    def __init__(
        self,
        depth: int,
        width: int = 64,
        stem_frames: int = 7,
        kind: str = "resnet",
        cardinality: int = 32,
        shortcut: str = "B",
        frames: int | None = None,
        gate: Callable[[int, int], nn.Module] | None = None,
    ):
        super().__init__()
        self.conv1 = nn.Conv3d(3, width, (stem_frames, 7, 7), (1, 2, 2), (stem_frames // 2, 3, 3), bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool3d(3, 2, 1)
        self.frames = None if gate is None else frames
        channels, steps = [width], frames
        for stage, blocks in enumerate(BLOCKS_PER_STAGE[depth]):
            planes, stride = width * 2**stage, 1 if stage == 0 else 2
            block, outputs = BasicBlock, planes
            if depth in BOTTLENECKS:
                middle, groups = (cardinality * planes // 16, cardinality) if kind == "resnext" else (planes, 1)
                block, outputs = partial(Bottleneck, middle=middle, groups=groups), EXPANSION * planes
            steps = None if steps is None else (steps + 1) // 2  # the max-pool halves them, then each later stage
            stack = nn.Sequential()
            for inputs, step in [(channels[-1], stride), *[(outputs, 1)] * (blocks - 1)]:
                skip = _skip(inputs, outputs, step, shortcut)
                end = nn.Identity() if gate is None else gate(outputs, steps)
                stack.append(block(inputs, outputs, step, skip, end))
            setattr(self, f"layer{stage + 1}", stack)
            channels.append(outputs)
        self.channels = tuple(channels)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> list[Tensor]:
        if self.frames is not None and x.shape[2] != self.frames:
            raise ValueError(f"the model was built for clips of {self.frames} frames, not {x.shape[2]}")
        stem = self.relu(self.bn1(self.conv1(x)))
        features = [stem]
        x = self.maxpool(stem)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            features.append(x)
        return features


def _skip(inputs: int, outputs: int, stride: int, shortcut: str) -> nn.Module:
    """The way around a block's branch."""
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    if shortcut == "A":
        return ZeroPaddedShortcut(outputs - inputs, stride)
    return nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm3d(outputs))
