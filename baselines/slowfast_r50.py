"""SlowFast-R50 8x8 (Feichtenhofer et al., ICCV 2019): 8 slow frames, 32 fast ones."""

from baselines._pytorchvideo import SGD, VIEWS, releases, zoo_file, zoo_numbers
from baselines._slowfast import build_slowfast, check_slowfast
from dynamonet.models.card import Clip, ModelCard

CARD = ModelCard(
    title="SlowFast-R50 8x8",
    clip=Clip(frames=32, stride=2, crop=224),
    published=zoo_numbers(76.94, 92.69, 65.71, 34.57, "products"),
    views=VIEWS,
    recipe_overrides=SGD,
    released=zoo_file("SLOWFAST_8x8_R50.pyth"),
    source="pytorchvideo.models.slowfast.create_slowfast",
)
RELEASES = releases("pathways.", width=64)
ALPHA = 4


def check(clip: Clip, width: int) -> None:
    """Raises ValueError for a width or frames that the pathways do not share evenly."""
    check_slowfast(clip, width, ALPHA)


def build(num_classes, clip: Clip, width: int = 64):
    """width: channels of the slow pathway's stem, 64 as published. Raises ValueError as `check` does."""
    return build_slowfast(num_classes, clip, width, ALPHA, depth=50, fusion_frames=7)
