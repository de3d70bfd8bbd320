"""MViT-B: a transformer whose stages see less space in more channels (Fan et al., ICCV 2021)."""

from functools import partial

from dynamonet.models.card import Clip, Views

STAGES = (1, 3, 14)
"""The first block of the second, third and fourth stage: channels and heads double there, height and width halve."""
# PySlowFast scales the short side to the first of TRAIN_JITTER_SCALES where a test has one crop (datasets/kinetics.py).
VIEWS = Views(clips=5, crops=1, short_side=256)
# configs/Kinetics/pytorchvideo/MVIT_B_16x4_CONV.yaml of facebookresearch/SlowFast.
ADAMW = {
    "optimiser": "adamw",
    "learning_rate": 1e-4,
    "batch_size": 16,
    "weight_decay": 0.05,
    "decay_all": False,
    "gradient_clip": 1.0,
    "label_smoothing": 0.1,
    "mixup": 0.8,
    "cutmix": 1.0,
    "flip": True,
}


def check(clip: Clip, depth: int, width: int, drop_path: float) -> None:
    """Raises ValueError for values out of range, and for a clip that no whole number of patches covers."""
    for name, value in {"depth": depth, "width": width}.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
    if not 0 <= drop_path < 1:
        raise ValueError(f"drop_path must be in [0, 1), not {drop_path}")
    if clip.frames % 2 or clip.crop % 4:
        raise ValueError(
            f"its patches are 2 frames and 4 pixels apart: set clip.frames to a multiple of 2, not {clip.frames}, and "
            f"clip.crop to one of 4, not {clip.crop}"
        )


def build_mvit(num_classes: int, clip: Clip, depth: int, width: int, drop_path: float):
    """depth: blocks. width: channels of the first stage, all of one head. drop_path: chance to skip the last block.

    It is create_multiscale_vision_transformers with the settings of pytorchvideo.models.hub.mvit_base_16x4, which
    computes sizes with tensors and so cannot be built without memory. Raises ValueError as `check` does.
    """
    check(clip, depth, width, drop_path)
    from pytorchvideo.layers import MultiScaleBlock, SpatioTemporalClsPositionalEncoding
    from pytorchvideo.models.head import create_vit_basic_head
    from pytorchvideo.models.stem import create_conv_patch_embed
    from pytorchvideo.models.vision_transformers import MultiscaleVisionTransformers
    from torch import nn

    norm = partial(nn.LayerNorm, eps=1e-6)
    blocks = nn.ModuleList()
    for block in range(depth):
        heads, next_heads = (2 ** sum(start <= place for start in STAGES) for place in (block, block + 1))
        halves = block in STAGES
        blocks.append(
            MultiScaleBlock(
                dim=width * heads,
                dim_out=width * (next_heads if block + 1 < depth else heads),
                num_heads=heads,
                qkv_bias=True,
                droppath_rate=drop_path * block / max(depth - 1, 1),
                norm_layer=norm,
                kernel_q=(3, 3, 3) if halves else (),
                stride_q=(1, 2, 2) if halves else (),
                kernel_kv=(3, 3, 3),
                stride_kv=(1, 8 // heads, 8 // heads),
            )
        )
    return MultiscaleVisionTransformers(
        patch_embed=create_conv_patch_embed(
            in_channels=3,
            out_channels=width,
            conv_kernel_size=(3, 7, 7),
            conv_stride=(2, 4, 4),
            conv_padding=(1, 3, 3),
        ),
        cls_positional_encoding=SpatioTemporalClsPositionalEncoding(
            width, (clip.frames // 2, clip.crop // 4, clip.crop // 4), sep_pos_embed=True
        ),
        pos_drop=None,
        norm_patch_embed=None,
        blocks=blocks,
        norm_embed=norm(width * heads),
        head=create_vit_basic_head(in_features=width * heads, out_features=num_classes),
    )
