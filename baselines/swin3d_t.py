"""Video Swin Transformer, tiny (Liu et al., CVPR 2022), as torchvision has it."""

from baselines._swin3d import build_swin, check, swin_card
from dynamonet.models.card import Clip

__all__ = ["CARD", "RELEASES", "build", "check"]

WIDTH, DEPTHS = 96, (2, 2, 6, 2)
CARD, RELEASES = swin_card("T", "swin3d_t-7615ae03.pth", 77.715, 93.519, 43.882, 28158070, width=WIDTH, depths=DEPTHS)


def build(num_classes, clip: Clip, width: int = WIDTH, depths: tuple = DEPTHS, drop_path: float = 0.1):
    """width: channels of the first stage, a multiple of 32. depths: blocks of the four stages.

    drop_path: chance to skip the last block in training; earlier ones have less. Raises ValueError as `check` does.
    """
    return build_swin(num_classes, clip, width, depths, drop_path)
