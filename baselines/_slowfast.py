"""SlowFast networks: every frame in a thin pathway, few frames in a wide one (Feichtenhofer et al., ICCV 2019)."""

from baselines._pytorchvideo import head_kernel
from dynamonet.models.card import Clip

THIN = 8
"""The wide pathway has so many channels for each of the thin one (1 / β)."""


def check_slowfast(clip: Clip, width: int, alpha: int) -> None:
    """Raises ValueError for a width or frames that the pathways do not share evenly."""
    if width < 1 or width % THIN:
        raise ValueError(f"width must be a multiple of {THIN}, not {width}")
    if clip.frames % alpha:
        raise ValueError(
            f"the slow pathway sees one of {alpha} frames: set clip.frames to a multiple of {alpha}, not {clip.frames}"
        )


def build_slowfast(num_classes: int, clip: Clip, width: int, alpha: int, depth: int, fusion_frames: int, **settings):
    """A SlowFast network that packs its pathways itself: input (N, 3, T, H, W), every frame of the fast pathway.

    width: channels of the slow pathway's stem. alpha: frames of the fast pathway for each of the slow one (α).
    fusion_frames: size in time of the kernels that join the pathways. settings: others of create_slowfast.
    Raises ValueError as `check_slowfast` does.
    """
    check_slowfast(clip, width, alpha)
    import torch
    from pytorchvideo.models.slowfast import create_slowfast
    from torch import Tensor, nn

    slow_frames = clip.frames // alpha

    class SlowFast(nn.Module):
        """Input (N, 3, T, H, W), output (N, num_classes)."""

        def __init__(self):
            super().__init__()
            # Evenly from the first frame to the last, as PackPathway in the tutorials of pytorchvideo takes them.
            places = [(clip.frames - 1) * step // max(slow_frames - 1, 1) for step in range(slow_frames)]
            self.register_buffer("slow_frames", torch.tensor(places), persistent=False)
            self.pathways = create_slowfast(
                model_depth=depth,
                model_num_class=num_classes,
                stem_dim_outs=(width, width // THIN),
                slowfast_channel_reduction_ratio=THIN,
                slowfast_fusion_conv_kernel_size=(fusion_frames, 1, 1),
                slowfast_fusion_conv_stride=(alpha, 1, 1),
                head_pool_kernel_sizes=tuple(head_kernel(frames, clip.crop) for frames in (slow_frames, clip.frames)),
                **settings,
            )

        def forward(self, video: Tensor) -> Tensor:
            # A list of its own for each pass: the network changes it.
            return self.pathways([video.index_select(2, self.slow_frames), video])

    return SlowFast()
