"""Video Swin Transformers: attention in windows of space and time (Liu et al., CVPR 2022), as torchvision has them."""

from baselines._torchvision import releases, torchvision_file, torchvision_numbers
from dynamonet.models.card import Clip, ModelCard, Views

HEAD = 32
"""Channels of an attention head."""


def swin_card(size: str, file: str, *numbers, width: int, depths: tuple) -> tuple[ModelCard, dict]:
    """The card and the `RELEASES` of size T, S or B. numbers: those of `torchvision_numbers`."""
    card = ModelCard(
        title=f"Swin3D-{size}",
        clip=Clip(frames=32, stride=2, crop=224),
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        published=torchvision_numbers(f"Swin3D_{size}_Weights", *numbers, Clip(frames=16, stride=2, crop=224)),
        views=Views(clips=12, crops=1, short_side=256),
        released=torchvision_file(file),
        source="torchvision.models.video.SwinTransformer3d",
    )
    return card, releases(width=width, depths=depths)


def check(clip: Clip, width: int, depths: tuple, drop_path: float) -> None:
    """Raises ValueError for values out of range."""
    if width < HEAD or width % HEAD:
        raise ValueError(f"width must be a multiple of {HEAD}, not {width}")
    if len(depths) != 4 or not all(type(depth) is int and depth > 0 for depth in depths):
        raise ValueError(f"depths must be four numbers of blocks, at least 1 each, not {list(depths)}")
    if not 0 <= drop_path < 1:
        raise ValueError(f"drop_path must be in [0, 1), not {drop_path}")


def build_swin(num_classes: int, clip: Clip, width: int, depths: tuple, drop_path: float):
    """width: channels of the first stage. depths: blocks of each. drop_path: chance to skip the last block.

    Raises ValueError as `check` does.
    """
    check(clip, width, depths, drop_path)
    from torchvision.models.video import SwinTransformer3d

    return SwinTransformer3d(
        patch_size=[2, 4, 4],
        embed_dim=width,
        depths=list(depths),
        num_heads=[width // HEAD * 2**stage for stage in range(4)],
        window_size=[8, 7, 7],
        stochastic_depth_prob=drop_path,
        num_classes=num_classes,
    )
