"""The values that DynamoNet's options may have. Free of torch, so that a study is checked before its first job."""

from collections.abc import Iterable

from dynamonet.models.card import Clip
from dynamonet.models.release import NORMALISATIONS

BLOCKS_PER_STAGE = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
BOTTLENECKS = (50, 101)
"""The depths whose blocks are bottlenecks."""
EXPANSION = 4
"""Channels at a bottleneck's end, for each of a basic block."""
BACKBONES = {"resnet": tuple(BLOCKS_PER_STAGE), "resnext": BOTTLENECKS}
"""The depths of each."""
SHORTCUTS = ("B", "A")
STC_COMBINATIONS = ("mean", "sum")
DMR_POOLINGS = ("mean", "flatten")
FILTER_SIZES = (3, 5, 7, 9, 11)
FILTER_SOURCES = ("temporal", "pooled", "static")
FILTER_NORMALISATIONS = ("sum1", "softmax", "raw")


def check(
    clip: Clip,
    *,
    backbone: str,
    depth: int,
    width: int,
    stem_frames: int,
    cardinality: int,
    shortcut: str,
    stc: bool,
    stc_reduction: int,
    stc_combine: str,
    normalisation: str,
    prediction: bool,
    dmr_features: int,
    dmr_pooling: str,
    filter_size: int,
    filter_source: str,
    filter_normalisation: str,
    filter_scales: int,
    features_detached: bool,
    **_,
) -> None:
    """Refuse options that `dynamonet.build` does not take, whose docstring describes them, or not with each other.

    An option's range holds where the option is without effect, too. Raises ValueError naming the option.
    """
    _one_of("backbone", backbone, BACKBONES)
    _one_of("depth", depth, BACKBONES[backbone], f" for a {backbone}")
    _at_least("width", width, 1)
    if backbone == "resnext" and width % 16:
        raise ValueError(f"width must be a multiple of 16 for a resnext, not {width}")
    if stem_frames < 1 or stem_frames % 2 == 0:
        raise ValueError(f"stem_frames must be odd and at least 1, not {stem_frames}")
    _at_least("cardinality", cardinality, 1)
    _one_of("shortcut", shortcut, SHORTCUTS)
    _at_least("stc_reduction", stc_reduction, 1)
    channels = width * (EXPANSION if depth in BOTTLENECKS else 1)
    if stc and channels % stc_reduction:
        raise ValueError(
            f"stc_reduction must divide the {channels} channels of the first stage, unlike {stc_reduction}"
        )
    _one_of("stc_combine", stc_combine, STC_COMBINATIONS)
    _one_of("normalisation", normalisation, NORMALISATIONS)
    _at_least("dmr_features", dmr_features, 0)
    _one_of("dmr_pooling", dmr_pooling, DMR_POOLINGS)
    _one_of("filter_size", filter_size, FILTER_SIZES)
    _one_of("filter_source", filter_source, FILTER_SOURCES)
    _one_of("filter_normalisation", filter_normalisation, FILTER_NORMALISATIONS)
    _at_least("filter_scales", filter_scales, 1)
    check_scales(filter_scales, clip.crop, clip.crop)
    if filter_source == "static" and dmr_features and not prediction:
        raise ValueError("filter_source static needs prediction true: the classifier would see a constant")
    if filter_source == "static" and features_detached and prediction:
        raise ValueError("features_detached needs another filter_source than static, which sees no features")


def check_scales(scales: int, height: int, width: int) -> None:
    """Raises ValueError if a frame of this size in pixels has no pyramid of so many scales."""
    if height % 2 ** (scales - 1) or width % 2 ** (scales - 1):
        raise ValueError(
            f"filter_scales {scales} needs frames whose sides are multiples of {2 ** (scales - 1)} pixels, "
            f"not {height} x {width}: change clip.crop"
        )


def check_flow_weight(flow_weight: float) -> None:
    """Raises ValueError for a weight of the flow stream that is no part of a mean."""
    if not 0 <= flow_weight <= 1:
        raise ValueError(f"flow_weight must be in [0, 1], not {flow_weight}")


def _one_of(option: str, value: str | int, values: Iterable[str | int], where: str = "") -> None:
    if value not in values:
        raise ValueError(f"{option} must be one of {', '.join(map(str, values))}{where}, not {value!r}")


def _at_least(option: str, value: int, least: int) -> None:
    if value < least:
        raise ValueError(f"{option} must be at least {least}, not {value}")
