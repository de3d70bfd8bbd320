"""MC3-18: 3D convolutions in the early layers, 2D in the others (Tran et al., CVPR 2018), as torchvision has it."""

from baselines._torchvision_resnet import RELEASES, resnet_card
from dynamonet.models.card import Clip

__all__ = ["CARD", "RELEASES", "build"]

CARD = resnet_card("MC3-18", "mc3_18", "MC3_18_Weights", "mc3_18-a90a0ba3.pth", 63.96, 84.13, 43.343, 11695440)


def build(num_classes, clip: Clip):
    from torchvision.models.video import mc3_18

    return mc3_18(num_classes=num_classes)
