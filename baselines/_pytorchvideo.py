"""What the baselines of pytorchvideo share: numbers and files of its model zoo, its training, its heads' pooling."""

from types import MappingProxyType

from dynamonet.models.card import PublishedValue, ReleasedFile, Views
from dynamonet.models.release import Release

ZOO = "facebookresearch/pytorchvideo docs/source/model_zoo.md @f3142bb0"
FORMAT = "pytorchvideo"
VIEWS = Views(clips=10, crops=3, crop=256)
"""Ten clips with three crops of a short side of 256 pixels; networks were trained on crops of 224."""
# configs/Kinetics/pytorchvideo/*.yaml of facebookresearch/SlowFast, with which the zoo was trained.
SGD = {
    "optimiser": "sgd",
    "learning_rate": 0.1,
    "batch_size": 64,
    "weight_decay": 1e-4,
    "decay_all": False,
    "flip": True,
}


def zoo_numbers(top1: float, top5: float, gmacs: float, parameters_m: float, counting: str) -> tuple:
    """A row of the zoo: accuracies on Kinetics-400 in percent, 10⁹ "Flops" of a view, parameters in millions."""
    values = {"top1_percent": top1, "top5_percent": top5, "gmacs_per_clip": gmacs, "parameters_m": parameters_m}
    return tuple(
        PublishedValue(
            metric=metric,
            value=value,
            dataset="kinetics400",
            counting=counting if metric == "gmacs_per_clip" else None,
            source=ZOO,
        )
        for metric, value in values.items()
    )


def zoo_file(name: str) -> ReleasedFile:
    """The zoo's file of this name. Its SHA-256 is published nowhere."""
    return ReleasedFile(url=f"https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/{name}", format=FORMAT)


def releases(prefix: str = "", **options: object) -> dict[str, Release]:
    """`RELEASES` of a network that calls pytorchvideo's own `prefix`, with the options that the zoo's files have."""
    fixed = MappingProxyType({option: (value,) for option, value in options.items()})
    return {FORMAT: Release("model_state", lambda released: prefix + released, options=fixed)}


def head_kernel(steps: int, crop: int, trained_crop: int = 224) -> tuple[int, int, int]:
    """What a head averages before it classifies: all `steps` in time, and as much space as a clip of the training has.

    Larger crops are classified at several places, and their logits averaged, as the functions of pytorchvideo's hub do.
    The zoo was tested with probabilities averaged over places (`PTVResNet` of PySlowFast's ptv_model_builder.py).
    """
    side = -(-min(crop, trained_crop) // 32)
    return steps, side, side
