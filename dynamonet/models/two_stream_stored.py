"""DynamoNet with a second stream on stored optical flow, which comes with the clip."""

from dynamonet.models import dynamonet
from dynamonet.models.card import Clip
from dynamonet.models.catalogue import with_options_of
from dynamonet.models.options import check_flow_weight

CARD = dynamonet.CARD.model_copy(
    update={
        "title": "DynamoNet + stored flow",
        "stored_flow": True,
        "source": "this project, after Simonyan and Zisserman, NIPS 2014",
    }
)


def check(clip: Clip, flow_weight: float, **options) -> None:
    """Raises ValueError for values out of range."""
    check_flow_weight(flow_weight)
    dynamonet.check(clip, **options)


@with_options_of(dynamonet.build)
def build(num_classes, clip: Clip, flow_weight: float = 0.5, **options):
    """DynamoNet's options are those of both streams. flow_weight: the flow stream's part of the mean logits.

    Raises ValueError for values out of range.
    """
    from dynamonet.models.two_stream import build_streams, stored_flow

    return build_streams(num_classes, clip, stored_flow, flow_weight, options)
