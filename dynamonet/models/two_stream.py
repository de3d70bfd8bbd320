"""Two streams, colours and optical flow, with late fusion (Simonyan and Zisserman, NIPS 2014)."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from dynamonet.models import dynamonet
from dynamonet.models.card import COLOURS, FLOW_STEPS, FLOW_ZERO, Clip
from dynamonet.models.network import DynamoNet
from dynamonet.models.options import check_flow_weight
from dynamonet.models.output import ModelOutput


class TwoStream(nn.Module):
    """DynamoNet on the frames, its plain backbone on their flow, and the weighted mean of the two logits.

    Frames and filters are predicted by the first stream, and its loss of prediction does not reach the second. The
    loss of classification is that of the mean, so the streams are trained together. `flow_of` gives the flow of a
    clip, (N, 2, T, H, W) in [-1, 1]; `flow_weight` is the second stream's part of the mean.
    """

    def __init__(self, rgb: DynamoNet, flow: DynamoNet, flow_of: Callable[[Tensor], Tensor], flow_weight: float):
        super().__init__()
        self.rgb, self.flow, self.flow_of, self.flow_weight = rgb, flow, flow_of, flow_weight

    def forward(self, video: Tensor) -> ModelOutput:
        """video: (N, C, T, H, W) in [0, 1], the colours first; `flow_of` is given all of it.

        The output is that of the stream on frames, with the fused logits, and both representations one after the
        other.
        """
        frames = self.rgb(video[:, :COLOURS])
        flow = self.flow(self.flow_of(video))
        return replace(
            frames,
            logits=torch.lerp(frames.logits, flow.logits, self.flow_weight),
            representation=torch.cat([frames.representation, flow.representation], 1),
        )

    def motion_representation(self, video: Tensor) -> Tensor:
        """That of the stream on frames: see `DynamoNet.motion_representation`."""
        return self.rgb.motion_representation(video[:, :COLOURS])


def build_streams(
    num_classes: int, clip: Clip, flow_of: Callable[[Tensor], Tensor], flow_weight: float, options: dict
) -> TwoStream:
    """Both streams with DynamoNet's `options`; those of prediction and DMR are the first stream's alone.

    Raises ValueError as `dynamonet.build` does, and for a `flow_weight` that is not in [0, 1].
    """
    check_flow_weight(flow_weight)
    rgb = dynamonet.build(num_classes, clip, **options)
    flow = dynamonet.build(num_classes, clip, **{**options, "prediction": False, "dmr_features": 0})
    stem = flow.backbone.conv1
    flow.backbone.conv1 = nn.Conv3d(2, stem.out_channels, stem.kernel_size, stem.stride, stem.padding, bias=False)
    nn.init.kaiming_normal_(flow.backbone.conv1.weight, mode="fan_out", nonlinearity="relu")
    flow.mean, flow.std = torch.zeros(1), torch.ones(1)  # flow is centred and scaled as it comes
    return TwoStream(rgb, flow, flow_of, flow_weight)


def stored_flow(video: Tensor) -> Tensor:
    """The flow (N, 2, T, H, W) in [-1, 1] that the last two channels of a clip (N, 5, T, H, W) hold."""
    return (video[:, COLOURS:] * 255 - FLOW_ZERO) / FLOW_STEPS
