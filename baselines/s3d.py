"""S3D: Inception of separable 3D convolutions (Xie et al., ECCV 2018), as torchvision has it."""

from baselines._torchvision import MEAN, STD, releases, torchvision_file, torchvision_numbers
from dynamonet.models.card import Clip, ModelCard, Views

CARD = ModelCard(
    title="S3D",
    clip=Clip(frames=128, stride=2, crop=224),
    mean=MEAN,
    std=STD,
    published=torchvision_numbers("S3D_Weights", 68.368, 88.05, 17.979, 8320048, Clip(frames=16, stride=2, crop=224)),
    views=Views(clips=1, crops=1, frame=(256, 256)),
    released=torchvision_file("s3d-d76dad2f.pth"),
    source="torchvision.models.video.s3d",
)
RELEASES = releases()


def check(clip: Clip) -> None:
    """Raises ValueError for a clip of which the last pooling leaves nothing."""
    if clip.frames < 5 or clip.crop < 17:
        raise ValueError(
            f"its strides take clips of 5 frames and 17 pixels or more: set clip.frames and clip.crop, now "
            f"{clip.frames} and {clip.crop}"
        )


def build(num_classes, clip: Clip):
    """Raises ValueError as `check` does."""
    check(clip)
    from torch import nn
    from torchvision.models.video import s3d

    net = s3d(num_classes=num_classes)
    # As published where the maps are as large: two time steps and seven pixels, then the mean over such windows.
    steps, side = -(-clip.frames // 4) // 2, -(-clip.crop // 16) // 2
    net.avgpool = nn.AvgPool3d((min(2, steps), min(7, side), min(7, side)), stride=1)
    return net
