"""Slow pathway of SlowFast on a ResNet-50, 4x16 (Feichtenhofer et al., ICCV 2019)."""

from baselines._pytorchvideo import SGD, VIEWS, releases, zoo_file, zoo_numbers
from baselines._slow import build
from dynamonet.models.card import Clip, ModelCard

__all__ = ["CARD", "RELEASES", "build"]

CARD = ModelCard(
    title="Slow-R50 4x16",
    clip=Clip(frames=4, stride=16, crop=224),
    published=zoo_numbers(72.40, 90.18, 27.55, 32.45, "training_norms"),
    views=VIEWS,
    recipe_overrides=SGD,
    released=zoo_file("SLOW_4x16_R50.pyth"),
    source="pytorchvideo.models.resnet.create_resnet",
)
RELEASES = releases(width=64)
