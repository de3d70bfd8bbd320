"""DynamoNet: a 3D ConvNet that also generates the filters that predict its next frames."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynamonet.models.card import KINETICS_MEAN, KINETICS_STD
from dynamonet.models.filter_generator import FilterGenerator
from dynamonet.models.filter_operator import apply_dynamic_filters
from dynamonet.models.output import ModelOutput

DMR_POOLINGS = ("mean", "flatten")


class MotionRepresentation(nn.Module):
    """The DMR: the filters of all frames as one vector (N, `features`) for the classifier.

    `pooling` "mean": the flattened filters of a frame and its two neighbours are projected, and the projections
    averaged over time. "flatten": all T filters are flattened into one vector and projected, as the paper says;
    it fits the phase at which a periodic motion happens to start.

    Filters enter as differences from the identity, which are small; batch normalisation brings their projection
    to the scale of the pooled features. Its large ε keeps the representation silent while the filters are still
    the identity: with the usual one, the first steps would feed amplified rounding noise to the classifier.
    """

    def __init__(self, frames: int, size: int, features: int, pooling: str):
        super().__init__()
        if pooling not in DMR_POOLINGS:
            raise ValueError(f"dmr_pooling must be one of {DMR_POOLINGS}, not {pooling!r}")
        self.frames, self.pooling = frames, pooling
        identity = torch.zeros(size, size)
        identity[size // 2, size // 2] = 1.0
        self.register_buffer("identity", identity, persistent=False)
        if pooling == "mean":
            self.project = nn.Conv1d(size * size, features, 3, padding=1, bias=False)
        else:
            self.project = nn.Linear(frames * size * size, features, bias=False)
        self.norm = nn.BatchNorm1d(features, eps=1e-2)

    def forward(self, filters: Tensor) -> Tensor:
        """filters: (N, T, k, k); returns (N, `features`)."""
        if filters.shape[1] != self.frames:
            raise ValueError(f"the model was built for clips of {self.frames} frames, not {filters.shape[1]}")
        moved = (filters - self.identity).flatten(2)
        if self.pooling == "flatten":
            return F.relu(self.norm(self.project(moved.flatten(1))))
        return F.relu(self.norm(self.project(moved.transpose(1, 2)))).mean(-1)


class DynamoNet(nn.Module):
    """Classifies a clip and predicts each next frame of it (Diba et al., ICCV 2019, section 3).

    Input: video (N, 3, T, H, W) in [0, 1]; normalisation is inside, because prediction works on pixels.
    With `dmr` the flattened filters join the pooled features before the classifier; with `prediction` the
    filters are applied to the frames. Without both it is the plain backbone.
    """

    def __init__(
        self,
        backbone: nn.Module,
        num_classes: int,
        generator: FilterGenerator | None,
        dmr: MotionRepresentation | None,
        dmr_features: int,
        predicts: bool,
        dmr_detached: bool,
    ):
        super().__init__()
        self.backbone = backbone
        self.generator = generator
        self.predicts = predicts
        self.dmr_detached = dmr_detached
        self.dmr = dmr
        self.fc = nn.Linear(backbone.channels[-1] + dmr_features, num_classes)
        self.register_buffer("mean", torch.tensor(KINETICS_MEAN).view(1, 3, 1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(KINETICS_STD).view(1, 3, 1, 1, 1), persistent=False)

    def forward(self, video: Tensor) -> ModelOutput:
        features = self.backbone((video - self.mean) / self.std)
        representation = features[-1].mean((-3, -2, -1))
        filters = predicted = None
        if self.generator is not None:
            filters = self.generator(features, video.shape[2])
        if self.dmr is not None:
            motion = self.dmr(filters.detach() if self.dmr_detached else filters)
            representation = torch.cat([representation, motion], 1)
        if self.predicts:
            predicted = apply_dynamic_filters(video, filters)
        return ModelOutput(self.fc(representation), predicted, filters)
