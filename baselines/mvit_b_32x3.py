"""MViT-B, 32x3 (Fan et al., ICCV 2021)."""

from baselines._mvit import ADAMW, VIEWS, build_mvit, check
from baselines._pytorchvideo import releases, zoo_file, zoo_numbers
from dynamonet.models.card import Clip, ModelCard

__all__ = ["CARD", "RELEASES", "build", "check"]

CARD = ModelCard(
    title="MViT-B 32x3",
    clip=Clip(frames=32, stride=3, crop=224),
    published=zoo_numbers(80.30, 94.69, 170.37, 36.61, "fvcore"),
    views=VIEWS,
    recipe_overrides=ADAMW,
    released=zoo_file("MVIT_B_32x3_f294077834.pyth"),
    source="pytorchvideo.models.vision_transformers",
)
RELEASES = releases(depth=16, width=96)


def build(num_classes, clip: Clip, depth: int = 16, width: int = 96, drop_path: float = 0.3):
    """depth: blocks, 16 as published. width: channels of the first stage, 96 as published.

    drop_path: chance to skip the last block in training; earlier ones have less. Raises ValueError as `check` does.
    """
    return build_mvit(num_classes, clip, depth, width, drop_path)
