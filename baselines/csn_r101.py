"""Channel-separated convolutions, ir-CSN ResNet-101, 32x2 (Tran et al., ICCV 2019)."""

from baselines._pytorchvideo import SGD, VIEWS, head_kernel, releases, zoo_file, zoo_numbers
from dynamonet.models.card import Clip, ModelCard

CARD = ModelCard(
    title="ir-CSN-R101",
    clip=Clip(frames=32, stride=2, crop=224),
    published=zoo_numbers(77.00, 92.90, 75.62, 22.21, "training_norms"),
    views=VIEWS,
    recipe_overrides=SGD,
    released=zoo_file("CSN_32x2_R101.pyth"),
    source="pytorchvideo.models.csn.create_csn",
)
RELEASES = releases(width=64)


def build(num_classes, clip: Clip, width: int = 64):
    """width: channels of the stem, 64 as published."""
    from pytorchvideo.models.csn import create_csn
    from torch import nn

    return create_csn(
        model_depth=101,
        model_num_class=num_classes,
        stem_dim_out=width,
        stem_pool=nn.MaxPool3d,
        dropout_rate=0.5,
        # Time is halved by the second, the third and the fourth stage.
        head_pool_kernel_size=head_kernel(-(-clip.frames // 8), clip.crop),
    )
