"""The 18-layer networks of torchvision (Tran et al., CVPR 2018), 16x2 at 112 pixels."""

from baselines._torchvision import MEAN, SGD, STD, releases, torchvision_file, torchvision_numbers
from dynamonet.models.card import Clip, ModelCard, Views

RELEASES = releases()


def resnet_card(title: str, network: str, weights: str, file: str, *numbers) -> ModelCard:
    """numbers: those of `torchvision_numbers`. Frames are of videos at 15 Hz: stride 2 at the 30 Hz of most others."""
    clip = Clip(frames=16, stride=2, crop=112)
    return ModelCard(
        title=title,
        clip=clip,
        mean=MEAN,
        std=STD,
        published=torchvision_numbers(weights, *numbers, clip),
        views=Views(clips=5, crops=1, frame=(128, 171)),
        recipe_overrides=SGD,
        released=torchvision_file(file),
        source=f"torchvision.models.video.{network}",
    )
