"""R(2+1)D-18: 3D convolutions in two factors, space and time (Tran et al., CVPR 2018), as torchvision has it."""

from baselines._torchvision_resnet import RELEASES, resnet_card
from dynamonet.models.card import Clip

__all__ = ["CARD", "RELEASES", "build"]

CARD = resnet_card(
    "R(2+1)D-18", "r2plus1d_18", "R2Plus1D_18_Weights", "r2plus1d_18-91a641e6.pth", 67.463, 86.175, 40.519, 31505325
)


def build(num_classes, clip: Clip):
    from torchvision.models.video import r2plus1d_18

    return r2plus1d_18(num_classes=num_classes)
