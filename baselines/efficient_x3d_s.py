"""X3D-S, 13x6 at 160 pixels, for mobile CPUs (Feichtenhofer, CVPR 2020; pytorchvideo's accelerator package)."""

from baselines._efficient_x3d import RELEASES, build, efficient_card
from dynamonet.models.card import Clip

__all__ = ["CARD", "RELEASES", "build"]

CARD = efficient_card("S", Clip(frames=13, stride=6, crop=160), 73.0, 90.6)
