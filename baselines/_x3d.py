"""X3D: a 2D network expanded step by step into one of space and time (Feichtenhofer, CVPR 2020)."""

from baselines._pytorchvideo import SGD
from dynamonet.models.card import Clip

X3D_SGD = {**SGD, "batch_size": 128, "weight_decay": 5e-5}


def check(clip: Clip, width_factor: float, depth_factor: float) -> None:
    """Raises ValueError for factors that are not positive, and for crops of which its strides leave nothing."""
    for name, factor in {"width_factor": width_factor, "depth_factor": depth_factor}.items():
        if factor <= 0:
            raise ValueError(f"{name} must be above 0, not {factor}")
    if clip.crop < 32:
        raise ValueError(f"its strides take crops of 32 pixels or more, and clip.crop is {clip.crop}")


def build_x3d(num_classes: int, clip: Clip, width_factor: float, depth_factor: float, trained_crop: int):
    """trained_crop: of the published training; larger ones are classified at several places, and the logits averaged.

    Raises ValueError as `check` does.
    """
    check(clip, width_factor, depth_factor)
    from pytorchvideo.models.x3d import create_x3d

    return create_x3d(
        model_num_class=num_classes,
        input_clip_length=clip.frames,
        input_crop_size=min(clip.crop, trained_crop),
        width_factor=width_factor,
        depth_factor=depth_factor,
        # The head gives probabilities by default; a loss wants logits.
        head_activation=None,
    )
