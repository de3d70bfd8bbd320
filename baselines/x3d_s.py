"""X3D-S, 13x6 at 160 pixels (Feichtenhofer, CVPR 2020)."""

from baselines._pytorchvideo import releases, zoo_file, zoo_numbers
from baselines._x3d import X3D_SGD, build_x3d, check
from dynamonet.models.card import Clip, ModelCard, Views

__all__ = ["CARD", "RELEASES", "build", "check"]

CARD = ModelCard(
    title="X3D-S",
    clip=Clip(frames=13, stride=6, crop=160),
    published=zoo_numbers(73.33, 91.27, 2.96, 3.79, "training_norms"),
    views=Views(clips=10, crops=3, crop=182),
    recipe_overrides=X3D_SGD,
    released=zoo_file("X3D_S.pyth"),
    source="pytorchvideo.models.x3d.create_x3d",
)
RELEASES = releases(width_factor=2.0, depth_factor=2.2)


def build(num_classes, clip: Clip, width_factor: float = 2.0, depth_factor: float = 2.2):
    """width_factor, depth_factor: γ_w and γ_d of the paper. Raises ValueError as `check` does."""
    return build_x3d(num_classes, clip, width_factor, depth_factor, trained_crop=CARD.clip.crop)
