"""X3D-L, 16x5 at 312 pixels (Feichtenhofer, CVPR 2020)."""

from baselines._pytorchvideo import releases, zoo_file, zoo_numbers
from baselines._x3d import X3D_SGD, build_x3d, check
from dynamonet.models.card import Clip, ModelCard, Views

__all__ = ["CARD", "RELEASES", "build", "check"]

CARD = ModelCard(
    title="X3D-L",
    clip=Clip(frames=16, stride=5, crop=312),
    published=zoo_numbers(77.44, 93.31, 26.64, 6.15, "training_norms"),
    views=Views(clips=10, crops=3, crop=356),
    recipe_overrides={**X3D_SGD, "learning_rate": 0.05, "batch_size": 64},
    released=zoo_file("X3D_L.pyth"),
    source="pytorchvideo.models.x3d.create_x3d",
)
RELEASES = releases(width_factor=2.0, depth_factor=5.0)


def build(num_classes, clip: Clip, width_factor: float = 2.0, depth_factor: float = 5.0):
    """width_factor, depth_factor: γ_w and γ_d of the paper. Raises ValueError as `check` does."""
    return build_x3d(num_classes, clip, width_factor, depth_factor, trained_crop=CARD.clip.crop)
