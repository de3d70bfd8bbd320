"""Slow pathway of SlowFast on a ResNet-50, 8x8 (Feichtenhofer et al., ICCV 2019)."""

from baselines._pytorchvideo import SGD, VIEWS, releases, zoo_file, zoo_numbers
from baselines._slow import build
from dynamonet.models.card import Clip, ModelCard

__all__ = ["CARD", "RELEASES", "build"]

CARD = ModelCard(
    title="Slow-R50 8x8",
    clip=Clip(frames=8, stride=8, crop=224),
    published=zoo_numbers(74.58, 91.63, 54.52, 32.45, "products"),
    views=VIEWS,
    recipe_overrides=SGD,
    released=zoo_file("SLOW_8x8_R50.pyth"),
    source="pytorchvideo.models.resnet.create_resnet",
)
RELEASES = releases(width=64)
