"""X3D in the form that pytorchvideo's accelerator package deploys on mobile CPUs; XS and S are one network."""

from types import MappingProxyType

from baselines._pytorchvideo import ZOO
from dynamonet.models.card import Clip, ModelCard, PublishedValue, ReleasedFile, Views
from dynamonet.models.release import Release

FORMAT = "pytorchvideo_efficient"
RELEASES = MappingProxyType({FORMAT: Release(None, str)})


def efficient_card(expansion: str, clip: Clip, top1: float, top5: float) -> ModelCard:
    """The card of one expansion, XS or S. The zoo gives accuracies of ten clips and says nothing of crops."""
    values = {"top1_percent": top1, "top5_percent": top5, "parameters_m": 3.8}
    url = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/efficient_x3d_{}_original_form.pyth"
    return ModelCard(
        title=f"EfficientX3D-{expansion}",
        clip=clip,
        published=tuple(
            PublishedValue(metric=metric, value=value, dataset="kinetics400", source=f"{ZOO} (accelerator)")
            for metric, value in values.items()
        ),
        views=Views(clips=10, crops=1),
        released=ReleasedFile(url=url.format(expansion.lower()), format=FORMAT),
        source="pytorchvideo.models.accelerator.mobile_cpu.efficient_x3d.create_x3d",
    )


def build(num_classes, clip: Clip):
    from pytorchvideo.models.accelerator.mobile_cpu.efficient_x3d import create_x3d

    return create_x3d(num_classes=num_classes)
