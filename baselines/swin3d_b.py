"""Video Swin Transformer, base (Liu et al., CVPR 2022), as torchvision has it."""

from baselines._swin3d import build_swin, check, swin_card
from dynamonet.models.card import Clip

__all__ = ["CARD", "RELEASES", "build", "check"]

WIDTH, DEPTHS = 128, (2, 2, 18, 2)
CARD, RELEASES = swin_card(
    "B", "swin3d_b_1k-24f7c7c6.pth", 79.427, 94.386, 140.667, 88048984, width=WIDTH, depths=DEPTHS
)


def build(num_classes, clip: Clip, width: int = WIDTH, depths: tuple = DEPTHS, drop_path: float = 0.1):
    """width: channels of the first stage, a multiple of 32. depths: blocks of the four stages.

    drop_path: chance to skip the last block in training; earlier ones have less. Raises ValueError as `check` does.
    """
    return build_swin(num_classes, clip, width, depths, drop_path)
