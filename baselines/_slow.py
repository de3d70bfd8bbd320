"""The Slow pathway of SlowFast on a ResNet-50 (Feichtenhofer et al., ICCV 2019)."""

from baselines._pytorchvideo import head_kernel
from dynamonet.models.card import Clip


def build(num_classes, clip: Clip, width: int = 64):
    """width: channels of the stem, 64 as published."""
    from pytorchvideo.models.resnet import create_resnet

    return create_resnet(
        model_num_class=num_classes,
        stem_dim_out=width,
        stem_conv_kernel_size=(1, 7, 7),
        head_pool_kernel_size=head_kernel(clip.frames, clip.crop),
    )
