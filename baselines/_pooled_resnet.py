"""ResNet-50s that pool frames in pairs after the first stage: C2D and I3D (Wang et al., CVPR 2018)."""

from baselines._pytorchvideo import head_kernel
from dynamonet.models.card import Clip


def check(clip: Clip, **_) -> None:
    """Raises ValueError for a clip of one frame, of which the pooling of frames in pairs leaves nothing."""
    if clip.frames < 2:
        raise ValueError(f"it pools frames in pairs, and clip.frames is {clip.frames}: set it to 2 or more")


def pooled_resnet(num_classes: int, clip: Clip, width: int, stem_frames: int, first_kernels: tuple):
    """stem_frames: frames that a kernel of the stem sees. first_kernels: of each block's first convolution, by stage.

    Raises ValueError for clips of one frame.
    """
    check(clip)
    from pytorchvideo.models.resnet import create_resnet
    from torch import nn

    return create_resnet(
        model_num_class=num_classes,
        stem_dim_out=width,
        stem_conv_kernel_size=(stem_frames, 7, 7),
        stage1_pool=nn.MaxPool3d,
        stage_conv_a_kernel_size=first_kernels,
        head_pool_kernel_size=head_kernel(clip.frames // 2, clip.crop),
    )
