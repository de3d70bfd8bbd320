"""X3D-XS, 4x12 at 160 pixels (Feichtenhofer, CVPR 2020)."""

from dynamonet.models.card import Clip, ModelCard, PublishedValue

ZOO = "facebookresearch/pytorchvideo docs/source/model_zoo.md @f3142bb0"
CARD = ModelCard(
    title="X3D-XS",
    clip=Clip(frames=4, stride=12, crop=160),
    published=(
        PublishedValue(metric="top1_percent", value=69.12, dataset="kinetics400", source=ZOO),
        PublishedValue(metric="top5_percent", value=88.63, dataset="kinetics400", source=ZOO),
    ),
    source="pytorchvideo.models.x3d.create_x3d",
)


def build(num_classes, clip: Clip):
    from pytorchvideo.models.x3d import create_x3d

    return create_x3d(
        model_num_class=num_classes,
        input_clip_length=clip.frames,
        input_crop_size=clip.crop,
        # The head gives probabilities by default; a loss wants logits.
        head_activation=None,
    )
