"""SlowFast-R101-50-50 16x8 (Feichtenhofer et al., ICCV 2019): 16 slow frames, 64 fast ones."""

from baselines._pytorchvideo import SGD, VIEWS, releases, zoo_file, zoo_numbers
from baselines._slowfast import build_slowfast, check_slowfast
from dynamonet.models.card import Clip, ModelCard

CARD = ModelCard(
    title="SlowFast-R101-50-50 16x8",
    clip=Clip(frames=64, stride=2, crop=224),
    published=zoo_numbers(78.70, 93.61, 215.61, 53.77, "training_norms"),
    views=VIEWS,
    recipe_overrides=SGD,
    released=zoo_file("SLOWFAST_16x8_R101_50_50.pyth"),
    source="pytorchvideo.models.slowfast.create_slowfast",
)
RELEASES = releases("pathways.", width=64)
ALPHA = 4
# First convolutions of the blocks, by pathway and stage: in the third stage, six blocks see more than one frame.
LONG, SHORT = (3, 1, 1), (1, 1, 1)
THIRD = (LONG,) * 6 + (SHORT,) * 17
KERNELS = ((SHORT, SHORT, THIRD, LONG), (LONG, LONG, THIRD, LONG))


def check(clip: Clip, width: int) -> None:
    """Raises ValueError for a width or frames that the pathways do not share evenly."""
    check_slowfast(clip, width, ALPHA)


def build(num_classes, clip: Clip, width: int = 64):
    """width: channels of the slow pathway's stem, 64 as published. Raises ValueError as `check` does."""
    return build_slowfast(
        num_classes, clip, width, ALPHA, depth=101, fusion_frames=5, stage_conv_a_kernel_sizes=KERNELS
    )
