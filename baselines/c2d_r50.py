"""C2D ResNet-50: 2D convolutions on every frame, time only pooled (Wang et al., CVPR 2018)."""

from dynamonet.models.card import Clip, ModelCard, PublishedValue

ZOO = "facebookresearch/pytorchvideo docs/source/model_zoo.md @f3142bb0"
CARD = ModelCard(
    title="C2D-R50",
    clip=Clip(frames=8, stride=8, crop=224),
    published=(
        PublishedValue(metric="top1_percent", value=71.46, dataset="kinetics400", source=ZOO),
        PublishedValue(metric="top5_percent", value=89.68, dataset="kinetics400", source=ZOO),
    ),
    source="pytorchvideo.models.resnet.create_resnet",
)


def check(clip: Clip, **_) -> None:
    """Raises ValueError for a clip of one frame, of which the pooling of frames in pairs leaves nothing."""
    if clip.frames < 2:
        raise ValueError(f"it pools frames in pairs, and clip.frames is {clip.frames}: set it to 2 or more")


def build(num_classes, clip: Clip, width: int = 64):
    """width: channels of the stem, 64 as published. Raises ValueError for clips of one frame."""
    check(clip)
    from pytorchvideo.models.resnet import create_resnet
    from torch import nn

    return create_resnet(
        model_num_class=num_classes,
        stem_dim_out=width,
        stem_conv_kernel_size=(1, 7, 7),
        stage1_pool=nn.MaxPool3d,
        stage_conv_a_kernel_size=((1, 1, 1),) * 4,
        head_pool_kernel_size=(max(1, clip.frames // 2), -(-clip.crop // 32), -(-clip.crop // 32)),
    )
