"""DynamoNet with a second stream on optical flow, which RAFT computes from the clip within the network."""

from dynamonet.models import dynamonet
from dynamonet.models.card import Clip
from dynamonet.models.catalogue import with_options_of

CARD = dynamonet.CARD.model_copy(
    update={
        "title": "DynamoNet + RAFT flow",
        "source": "this project, after Simonyan and Zisserman, NIPS 2014; RAFT of torchvision",
    }
)


@with_options_of(dynamonet.build)
def build(num_classes, clip: Clip, flow_weight: float = 0.5, **options):
    """DynamoNet's options are those of both streams. flow_weight: the flow stream's part of the mean logits.

    Raises ValueError for values out of range, UserError where RAFT's weights cannot be had.
    """
    from dynamonet.models.optical_flow import Raft
    from dynamonet.models.two_stream import build_streams

    if clip.frames < 2:
        raise ValueError(f"flow is between frames, and clip.frames is {clip.frames}")
    return build_streams(num_classes, clip, Raft(), flow_weight, options)
