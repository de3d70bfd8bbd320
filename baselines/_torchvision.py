"""What the baselines of torchvision share: the numbers and files that its own catalogue of weights gives."""

from types import MappingProxyType

from dynamonet.models.card import Clip, PublishedValue, ReleasedFile
from dynamonet.models.release import Release

FORMAT = "torchvision"
MEAN, STD = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)
# torchvision/models/video/README.md: learning rate and batch size of one of 64 GPUs, which scale together.
SGD = {"optimiser": "sgd", "learning_rate": 0.01, "batch_size": 24, "weight_decay": 1e-4, "flip": True}


def torchvision_numbers(weights: str, top1: float, top5: float, gmacs: float, parameters: int, counted: Clip) -> tuple:
    """What `torchvision.models.video.<weights>` says. counted: the clip of its GMACs, of 16 frames for all models."""
    source = f"torchvision.models.video.{weights}.KINETICS400_V1"
    values = {"top1_percent": top1, "top5_percent": top5, "gmacs_per_clip": gmacs, "parameters_m": parameters / 1e6}
    return tuple(
        PublishedValue(
            metric=metric,
            value=value,
            dataset="kinetics400",
            source=source,
            **({"counting": "products", "input": counted} if metric == "gmacs_per_clip" else {}),
        )
        for metric, value in values.items()
    )


def torchvision_file(name: str) -> ReleasedFile:
    """The file of this name, in which stand the first digits of its SHA-256: `r3d_18-b3b3357e.pth`."""
    prefix = name.removesuffix(".pth").rpartition("-")[2]
    return ReleasedFile(url=f"https://download.pytorch.org/models/{name}", format=FORMAT, sha256_prefix=prefix)


def releases(**options: object) -> dict[str, Release]:
    """`RELEASES` of a network of torchvision, with the options that the released files have."""
    return {FORMAT: Release(None, str, options=MappingProxyType({name: (value,) for name, value in options.items()}))}
