"""X3D-XS, 4x12 at 160 pixels, for mobile CPUs (Feichtenhofer, CVPR 2020; pytorchvideo's accelerator package)."""

from baselines._efficient_x3d import RELEASES, build, efficient_card
from dynamonet.models.card import Clip

__all__ = ["CARD", "RELEASES", "build"]

CARD = efficient_card("XS", Clip(frames=4, stride=12, crop=160), 68.5, 88.0)
