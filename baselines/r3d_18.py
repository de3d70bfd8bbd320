"""R3D-18: a ResNet-18 of 3D convolutions (Tran et al., CVPR 2018), as torchvision has it."""

from baselines._torchvision_resnet import RELEASES, resnet_card
from dynamonet.models.card import Clip

__all__ = ["CARD", "RELEASES", "build"]

CARD = resnet_card("R3D-18", "r3d_18", "R3D_18_Weights", "r3d_18-b3b3357e.pth", 63.2, 83.479, 40.697, 33371472)


def build(num_classes, clip: Clip):
    from torchvision.models.video import r3d_18

    return r3d_18(num_classes=num_classes)
