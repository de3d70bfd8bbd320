"""I3D ResNet-50, 8x8: 2D kernels inflated over time (Carreira and Zisserman, CVPR 2017; Wang et al., CVPR 2018)."""

from baselines._pooled_resnet import check, pooled_resnet
from baselines._pytorchvideo import SGD, VIEWS, releases, zoo_file, zoo_numbers
from dynamonet.models.card import Clip, ModelCard

__all__ = ["CARD", "RELEASES", "build", "check"]

CARD = ModelCard(
    title="I3D-R50",
    clip=Clip(frames=8, stride=8, crop=224),
    published=zoo_numbers(73.27, 90.70, 37.53, 28.04, "training_norms"),
    views=VIEWS,
    recipe_overrides=SGD,
    released=zoo_file("I3D_8x8_R50.pyth"),
    source="pytorchvideo.models.resnet.create_resnet",
)
RELEASES = releases(width=64)
LONG, SHORT = (3, 1, 1), (1, 1, 1)


def build(num_classes, clip: Clip, width: int = 64):
    """width: channels of the stem, 64 as published. Raises ValueError for clips of one frame."""
    return pooled_resnet(num_classes, clip, width, 5, (LONG, (LONG, SHORT), (LONG, SHORT), (SHORT, LONG)))
