"""R(2+1)D ResNet-50, 16x4 (Tran et al., CVPR 2018)."""

from dynamonet.models.card import Clip, ModelCard, PublishedValue

ZOO = "facebookresearch/pytorchvideo docs/source/model_zoo.md @f3142bb0"
CARD = ModelCard(
    title="R(2+1)D-R50",
    clip=Clip(frames=16, stride=4, crop=224),
    published=(
        PublishedValue(metric="top1_percent", value=76.01, dataset="kinetics400", source=ZOO),
        PublishedValue(metric="top5_percent", value=92.23, dataset="kinetics400", source=ZOO),
    ),
    source="pytorchvideo.models.r2plus1d.create_r2plus1d",
)


def build(num_classes, clip: Clip, width: int = 64):
    """width: channels of the stem, 64 as published."""
    from pytorchvideo.models.r2plus1d import create_r2plus1d

    return create_r2plus1d(
        model_num_class=num_classes,
        stem_dim_out=width,
        dropout_rate=0.5,
        head_activation=None,  # probabilities by default
        # Time is halved by the third and by the fourth stage.
        head_pool_kernel_size=(max(1, clip.frames // 4), -(-clip.crop // 32), -(-clip.crop // 32)),
    )
