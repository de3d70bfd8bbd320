"""DynamoNet: a 3D ConvNet that also generates the filters that predict its next frames."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynamonet.errors import UserError
from dynamonet.models.card import KINETICS_MEAN, KINETICS_STD
from dynamonet.models.filter_generator import FilterGenerator, FilterShape, StaticFilters
from dynamonet.models.output import ModelOutput
from dynamonet.models.prediction import predict_frames


class MotionRepresentation(nn.Module):
    """The DMR: the filters of all frames as one vector (N, `features`) for the classifier.

    The filters of a frame are flattened to d = S·C'·k² numbers. `pooling` "mean": they are averaged over time.
    "flatten": those of all T frames make one vector, as the paper says; it fits the phase at which a periodic
    motion happens to start.

    Filters enter as differences from the identity, which are small. With `projected` they are projected to
    `projected` numbers, for "mean" together with those of the two neighbouring frames and before averaging; batch
    normalisation brings the projection to the scale of the pooled features. Its large ε keeps the representation
    silent while the filters are still the identity: with the usual one, the first steps would feed amplified
    rounding noise to the classifier. With `projected` 0 the d or T·d differences are the representation.
    """

    def __init__(self, frames: int, shape: FilterShape, projected: int, pooling: str):
        super().__init__()
        self.frames, self.pooling = frames, pooling
        self.register_buffer("identity", shape.identity(), persistent=False)
        raw = shape.numel * (frames if pooling == "flatten" else 1)
        self.features = projected or raw
        self.project = None
        if projected:
            if pooling == "mean":
                self.project = nn.Conv1d(raw, projected, 3, padding=1, bias=False)
            else:
                self.project = nn.Linear(raw, projected, bias=False)
            self.norm = nn.BatchNorm1d(projected, eps=1e-2)

    def forward(self, filters: Tensor) -> Tensor:
        """filters: (N, T, S, C', k, k); returns (N, `features`). Raises ValueError for another T than at `build`."""
        if filters.shape[1] != self.frames:
            raise ValueError(f"the model was built for clips of {self.frames} frames, not {filters.shape[1]}")
        moved = (filters - self.identity).flatten(2)  # (N, T, d)
        if self.pooling == "flatten":
            moved = moved.flatten(1)
            return moved if self.project is None else F.relu(self.norm(self.project(moved)))
        if self.project is None:
            return moved.mean(1)
        return F.relu(self.norm(self.project(moved.transpose(1, 2)))).mean(-1)


class DynamoNet(nn.Module):
    """Classifies a clip and predicts each next frame of it (Diba et al., ICCV 2019, section 3).

    Input: video (N, 3, T, H, W) in [0, 1]; normalisation is inside, because prediction works on pixels.
    With `dmr` the flattened filters join the pooled features before the classifier; with `predicts` the
    filters are applied to the frames. Without both it is the plain backbone.
    """

    def __init__(
        self,
        backbone: nn.Module,
        num_classes: int,
        generator: FilterGenerator | StaticFilters | None,
        dmr: MotionRepresentation | None,
        predicts: bool,
        dmr_detached: bool = False,
        features_detached: bool = False,
        normalisation: tuple[tuple[float, ...], tuple[float, ...]] = (KINETICS_MEAN, KINETICS_STD),
    ):
        super().__init__()
        self.backbone = backbone
        self.generator = generator
        self.dmr = dmr
        self.predicts = predicts
        self.dmr_detached = dmr_detached
        self.features_detached = features_detached
        self.fc = nn.Linear(backbone.channels[-1] + (dmr.features if dmr else 0), num_classes)
        self.register_buffer("mean", torch.tensor(normalisation[0]).view(1, 3, 1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(normalisation[1]).view(1, 3, 1, 1, 1), persistent=False)

    @property
    def pooled_features(self) -> int:
        """How many of the classifier's inputs are the backbone's pooled features: the first; the DMR follows them."""
        return self.backbone.channels[-1]

    def forward(self, video: Tensor) -> ModelOutput:
        features = self._features(video)
        representation = features[-1].mean((-3, -2, -1))
        filters = predicted = None
        if self.generator is not None:
            filters = self._filters(features, video)
        if self.dmr is not None:
            motion = self.dmr(filters.detach() if self.dmr_detached else filters)
            representation = torch.cat([representation, motion], 1)
        if self.predicts:
            predicted = predict_frames(video, filters)
        return ModelOutput(self.fc(representation), predicted, filters, representation)

    def motion_representation(self, video: Tensor) -> Tensor:
        """The flattened filters of each frame, (N, T, d) with d = S·C'·k², without predicting or classifying.

        Raises UserError if the model generates no filters.
        """
        if self.generator is None:
            raise UserError(
                "this DynamoNet generates no filters, so it has no motion representation: build it with prediction "
                "true or dmr_features above 0"
            )
        return self._filters(self._features(video), video).flatten(2)

    def _features(self, video: Tensor) -> list[Tensor]:
        return self.backbone((video - self.mean) / self.std)

    def _filters(self, features: list[Tensor], video: Tensor) -> Tensor:
        if self.features_detached:
            features = [feature.detach() for feature in features]
        return self.generator(features, video.shape[2])
