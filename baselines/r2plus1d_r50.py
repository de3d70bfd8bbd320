"""R(2+1)D ResNet-50, 16x4 (Tran et al., CVPR 2018)."""

from baselines._pytorchvideo import SGD, VIEWS, head_kernel, releases, zoo_file, zoo_numbers
from dynamonet.models.card import Clip, ModelCard

CARD = ModelCard(
    title="R(2+1)D-R50",
    clip=Clip(frames=16, stride=4, crop=224),
    published=zoo_numbers(76.01, 92.23, 76.45, 28.11, "training_norms"),
    views=VIEWS,
    recipe_overrides=SGD,
    released=zoo_file("R2PLUS1D_16x4_R50.pyth"),
    source="pytorchvideo.models.r2plus1d.create_r2plus1d",
)
RELEASES = releases(width=64)


def build(num_classes, clip: Clip, width: int = 64):
    """width: channels of the stem, 64 as published."""
    from pytorchvideo.models.r2plus1d import create_r2plus1d

    return create_r2plus1d(
        model_num_class=num_classes,
        stem_dim_out=width,
        dropout_rate=0.5,
        head_activation=None,  # probabilities by default
        # Time is halved by the third and by the fourth stage.
        head_pool_kernel_size=head_kernel(-(-clip.frames // 4), clip.crop),
    )
