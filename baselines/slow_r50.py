"""Slow pathway of SlowFast on a ResNet-50, 8x8 (Feichtenhofer et al., ICCV 2019)."""

from dynamonet.models.card import Clip, ModelCard, PublishedValue

ZOO = "facebookresearch/pytorchvideo docs/source/model_zoo.md @f3142bb0"
CARD = ModelCard(
    title="Slow-R50 8x8",
    clip=Clip(frames=8, stride=8, crop=224),
    published=(
        PublishedValue(metric="top1_percent", value=74.58, dataset="kinetics400", source=ZOO),
        PublishedValue(metric="top5_percent", value=91.63, dataset="kinetics400", source=ZOO),
    ),
    source="pytorchvideo.models.resnet.create_resnet",
)


def build(num_classes, clip: Clip, width: int = 64):
    """width: channels of the stem, 64 as published."""
    from pytorchvideo.models.resnet import create_resnet

    return create_resnet(
        model_num_class=num_classes,
        stem_dim_out=width,
        stem_conv_kernel_size=(1, 7, 7),
        head_pool_kernel_size=(clip.frames, -(-clip.crop // 32), -(-clip.crop // 32)),
    )
