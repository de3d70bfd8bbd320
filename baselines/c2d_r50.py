"""C2D ResNet-50, 8x8: 2D convolutions on every frame, time only pooled (Wang et al., CVPR 2018)."""

from baselines._pooled_resnet import check, pooled_resnet
from baselines._pytorchvideo import SGD, VIEWS, releases, zoo_file, zoo_numbers
from dynamonet.models.card import Clip, ModelCard

__all__ = ["CARD", "RELEASES", "build", "check"]

CARD = ModelCard(
    title="C2D-R50",
    clip=Clip(frames=8, stride=8, crop=224),
    published=zoo_numbers(71.46, 89.68, 25.89, 24.33, "training_norms"),
    views=VIEWS,
    recipe_overrides=SGD,
    released=zoo_file("C2D_8x8_R50.pyth"),
    source="pytorchvideo.models.resnet.create_resnet",
)
RELEASES = releases(width=64)


def build(num_classes, clip: Clip, width: int = 64):
    """width: channels of the stem, 64 as published. Raises ValueError for clips of one frame."""
    return pooled_resnet(num_classes, clip, width, 1, ((1, 1, 1),) * 4)
