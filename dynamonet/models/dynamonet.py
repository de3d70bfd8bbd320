"""DynamoNet: its card and its options (Diba et al., ICCV 2019, arXiv 1904.11407)."""

from dynamonet.models.card import Clip, ModelCard

CARD = ModelCard(
    title="DynamoNet",
    clip=Clip(frames=16, stride=1, crop=112),
    extra_frames=1,
    mean=None,
    source="this project, after Diba et al., ICCV 2019",
)


def build(
    num_classes,
    clip: Clip,
    depth: int = 18,
    width: int = 64,
    stem_frames: int = 7,
    prediction: bool = True,
    dmr_features: int = 64,
    dmr_pooling: str = "mean",
    dmr_detached: bool = True,
    filter_size: int = 5,
    filter_normalisation: str = "sum1",
    filter_pooled: bool = False,
):
    """DynamoNet on a 3D-ResNet.

    depth: 10, 18, 34, 50 or 101. width: channels of the stem (64 in the paper). stem_frames: temporal size of
    the stem's kernel. prediction: apply the filters and return predicted frames. dmr_features: size of the
    projected DMR, 0 to leave it out. dmr_pooling: mean or flatten, over time. dmr_detached: stop the classifier's
    gradient at the filters, so that they are trained by prediction alone; without prediction nothing else trains
    them, and the gradient flows.
    filter_size: k. filter_normalisation: sum1, softmax or raw. filter_pooled: generate all filters from
    features averaged over time. Raises ValueError for values out of range.
    """
    from dynamonet.models.filter_generator import FilterGenerator
    from dynamonet.models.network import DynamoNet, MotionRepresentation
    from dynamonet.models.resnet3d import ResNet3D

    backbone = ResNet3D(depth, width, stem_frames)
    generator = dmr = None
    if prediction or dmr_features:
        generator = FilterGenerator(
            backbone.channels, filter_size, normalisation=filter_normalisation, pooled=filter_pooled
        )
    if dmr_features:
        dmr = MotionRepresentation(clip.frames, filter_size, dmr_features, dmr_pooling)
    return DynamoNet(backbone, num_classes, generator, dmr, dmr_features, prediction, dmr_detached and prediction)
