"""3D-ResNet backbones of Hara et al. (CVPR 2018), with the parameter names of 3D-ResNets-PyTorch."""

from itertools import pairwise

from torch import Tensor, nn

BLOCKS_PER_STAGE = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


def conv(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv3d:
    return nn.Conv3d(inputs, outputs, size, stride, padding=size // 2, bias=False)


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, inputs: int, planes: int, stride: int = 1, downsample: nn.Module | None = None):
        super().__init__()
        self.conv1 = conv(inputs, planes, 3, stride)
        self.bn1 = nn.BatchNorm3d(planes)
        self.conv2 = conv(planes, planes, 3)
        self.bn2 = nn.BatchNorm3d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)) + shortcut)


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, inputs: int, planes: int, stride: int = 1, downsample: nn.Module | None = None):
        super().__init__()
        self.conv1 = conv(inputs, planes, 1)
        self.bn1 = nn.BatchNorm3d(planes)
        self.conv2 = conv(planes, planes, 3, stride)
        self.bn2 = nn.BatchNorm3d(planes)
        self.conv3 = conv(planes, planes * self.expansion, 1)
        self.bn3 = nn.BatchNorm3d(planes * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.relu(self.bn3(self.conv3(x)) + shortcut)


class ResNet3D(nn.Module):
    """Backbone without classifier. `forward` returns the feature maps of the stem and of the four stages.

    Input (N, 3, T, H, W), normalised. The stem keeps time and halves space; a max-pool halves both before
    the first stage; the later stages halve both again. Shortcut type B. `width` is the number of channels of
    the stem (64 in the paper), `stem_frames` the temporal size of its kernel (7 in the paper).
    """

    def __init__(self, depth: int, width: int = 64, stem_frames: int = 7):
        super().__init__()
        if depth not in BLOCKS_PER_STAGE:
            raise ValueError(f"depth must be one of {sorted(BLOCKS_PER_STAGE)}, not {depth}")
        block = BasicBlock if depth < 50 else Bottleneck
        self.conv1 = nn.Conv3d(3, width, (stem_frames, 7, 7), (1, 2, 2), (stem_frames // 2, 3, 3), bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool3d(3, 2, 1)
        inputs = width
        for stage, blocks in enumerate(BLOCKS_PER_STAGE[depth], start=1):
            planes, stride = width * 2 ** (stage - 1), 1 if stage == 1 else 2
            setattr(self, f"layer{stage}", self._stage(block, inputs, planes, blocks, stride))
            inputs = planes * block.expansion
        self.channels = (width, *(width * 2**s * block.expansion for s in range(4)))
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @staticmethod
    def _stage(block: type, inputs: int, planes: int, blocks: int, stride: int) -> nn.Sequential:
        outputs = planes * block.expansion
        downsample = None
        if stride != 1 or inputs != outputs:
            downsample = nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm3d(outputs))
        widths = [inputs, *[outputs] * blocks]
        return nn.Sequential(
            *(
                block(before, planes, stride if i == 0 else 1, downsample if i == 0 else None)
                for i, (before, _) in enumerate(pairwise(widths))
            )
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        stem = self.relu(self.bn1(self.conv1(x)))
        features = [stem]
        x = self.maxpool(stem)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            features.append(x)
        return features
