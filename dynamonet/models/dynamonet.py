"""DynamoNet: its card and its options (Diba et al., ICCV 2019, arXiv 1904.11407)."""

from functools import partial

from dynamonet.models.card import Clip, ModelCard
from dynamonet.models.options import check
from dynamonet.models.release import NORMALISATIONS, THREE_D_RESNETS

CARD = ModelCard(
    title="DynamoNet",
    clip=Clip(frames=16, stride=1, crop=112),
    extra_frames=1,
    mean=None,
    source="this project, after Diba et al., ICCV 2019",
)
RELEASES = {"3d_resnets": THREE_D_RESNETS}


def build(
    num_classes,
    clip: Clip,
    backbone: str = "resnet",
    depth: int = 18,
    width: int = 64,
    stem_frames: int = 7,
    cardinality: int = 32,
    shortcut: str = "B",
    stc: bool = False,
    stc_reduction: int = 16,
    stc_full_rank: bool = False,
    stc_combine: str = "mean",
    normalisation: str = "kinetics",
    prediction: bool = True,
    dmr_features: int = 64,
    dmr_projected: bool = True,
    dmr_pooling: str = "mean",
    dmr_detached: bool = True,
    filter_size: int = 5,
    filter_source: str = "temporal",
    filter_normalisation: str = "sum1",
    filter_per_channel: bool = False,
    filter_scales: int = 1,
    features_detached: bool = False,
):
    """DynamoNet on a 3D-ResNet or 3D-ResNeXt, with or without STC blocks.

    backbone: resnet or resnext. depth: 10, 18, 34, 50 or 101; 50 or 101 for a resnext. width: channels of the stem
    (64 in the paper; a multiple of 16 for a resnext). stem_frames: temporal size of the stem's kernel, odd.
    cardinality: groups of a resnext. shortcut: B, or A for zero padding in the place of a convolution.
    stc: gate the end of each block by spatio-temporal channel correlation (STC-ResNet, STC-ResNeXt); the model then
    takes clips of clip.frames frames only. stc_reduction: r of its bottlenecks. stc_full_rank: one layer in the
    spatial branch in the place of a bottleneck. stc_combine: mean or sum of the two branches.
    normalisation: of pixels before the backbone. kinetics: mean 0.45 and deviation 0.225; 3d_resnets_2018 or
    3d_resnets_2020: what the checkpoints of 3D-ResNets-PyTorch from these years were trained with.

    prediction: apply the filters and return predicted frames. Without it and with dmr_features 0 the model is the
    plain backbone, and all options below are without effect.

    dmr_features: size of the projected DMR, 0 to leave it out. dmr_projected: false puts the flattened filters
    themselves beside the pooled features, whatever dmr_features above 0 says. dmr_pooling: mean or flatten, over
    time. dmr_detached: stop the classifier's gradient at the filters, so that they are trained by prediction
    alone; without prediction nothing else trains them, and the gradient flows.

    filter_size: k, one of 3, 5, 7, 9 and 11; a filter cannot move content by more than (k - 1) / 2 pixels.
    filter_source: what filters are generated from. temporal: features at each frame's time; pooled: features
    averaged over time; static: nothing, each frame of the clip has a learned filter that is the same for every
    clip (the control; a DMR then tells no clips apart). filter_normalisation: sum1, softmax or raw.
    filter_per_channel: a filter for each colour instead of one for all three. filter_scales: S, filters per frame,
    each for one level of the frame's Laplacian pyramid; at scale s they reach 2^s times as far; clip.crop must be a
    multiple of 2^(S - 1).

    features_detached: stop gradients at the generator's input, so that prediction trains the generator and not
    the backbone: the ablation of joint training.

    Raises ValueError, as `check` does, for values out of range, whether the option has an effect or not, and for
    static filters that only a DMR would see or whose features are detached.
    """
    check(**locals())  # of all parameters
    from dynamonet.models.filter_generator import FilterGenerator, FilterShape, StaticFilters
    from dynamonet.models.network import DynamoNet, MotionRepresentation
    from dynamonet.models.resnet3d import ResNet3D
    from dynamonet.models.stc import STCBlock

    gate = partial(STCBlock, reduction=stc_reduction, full_rank=stc_full_rank, combine=stc_combine) if stc else None
    features = ResNet3D(depth, width, stem_frames, backbone, cardinality, shortcut, clip.frames, gate)
    generator = dmr = None
    if prediction or dmr_features:
        shape = FilterShape(filter_size, filter_scales, 3 if filter_per_channel else 1)
        if filter_source == "static":
            generator = StaticFilters(clip.frames, shape, filter_normalisation)
        else:
            pooled = filter_source == "pooled"
            generator = FilterGenerator(features.channels, shape, filter_normalisation, pooled)
        if dmr_features:
            dmr = MotionRepresentation(clip.frames, shape, dmr_features if dmr_projected else 0, dmr_pooling)
    return DynamoNet(
        features,
        num_classes,
        generator,
        dmr,
        prediction,
        dmr_detached and prediction,
        features_detached,
        NORMALISATIONS[normalisation],
    )
