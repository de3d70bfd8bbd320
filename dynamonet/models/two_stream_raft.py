"""DynamoNet with a second stream on optical flow, which RAFT computes from the clip within the network."""

from dynamonet.models import dynamonet
from dynamonet.models.card import Clip
from dynamonet.models.catalogue import with_options_of
from dynamonet.models.options import check_flow_weight

CARD = dynamonet.CARD.model_copy(
    update={
        "title": "DynamoNet + RAFT flow",
        "source": "this project, after Simonyan and Zisserman, NIPS 2014; RAFT of torchvision",
    }
)


def check(clip: Clip, flow_weight: float, **options) -> None:
    """Raises ValueError for values out of range, and for clips of one frame."""
    _check_frames(clip)
    check_flow_weight(flow_weight)
    dynamonet.check(clip, **options)


@with_options_of(dynamonet.build)
def build(num_classes, clip: Clip, flow_weight: float = 0.5, **options):
    """DynamoNet's options are those of both streams. flow_weight: the flow stream's part of the mean logits.

    Raises ValueError for values out of range, UserError where RAFT's weights cannot be had.
    """
    from dynamonet.models.optical_flow import Raft
    from dynamonet.models.two_stream import build_streams

    _check_frames(clip)
    return build_streams(num_classes, clip, Raft(), flow_weight, options)


def _check_frames(clip: Clip) -> None:
    if clip.frames < 2:
        raise ValueError(f"flow is between frames, and clip.frames is {clip.frames}: set it to 2 or more")
