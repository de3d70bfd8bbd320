"""What a network makes of a clip before it classifies it: pooled features, and the motion of DynamoNet's filters."""

import torch
from torch import Tensor, nn

from dynamonet.data.clips import EvalClips
from dynamonet.engine.acceleration import as_input, autocast
from dynamonet.engine.distribution import World
from dynamonet.engine.inference import VIEWS_PER_PASS, over_videos
from dynamonet.errors import UserError
from dynamonet.models.classifier import Classifier
from dynamonet.models.filter_generator import FilterShape
from dynamonet.recipe import Execution

CONVOLUTIONS = nn.Conv1d, nn.Conv2d, nn.Conv3d


class FeatureExtractor:
    """The features of clips, of any network of the catalogue: `extractor(video)` with video (N, C, T, H, W) in [0, 1].

    heads: the parameters of the classifier, as `head_keys` names them.

    `pooled` (N, D) is what the last layer of the classifier is given, averaged over the positions where it is applied
    to several. Of a network with `pooled_features` it is the first so many numbers of that: DynamoNet's motion
    representation, which follows them, is left out, so that D is that of the backbone alone. Several classifiers, as
    two streams have, give one feature after the other.

    `dmr` (N, d), of a network that generates filters, is its `motion_representation` less the identity, averaged over
    time: what a clip's filters do to a frame. It has no learned projection, so it exists before any label was seen.

    Raises UserError for a classifier whose last layer is neither linear nor a convolution.
    """

    def __init__(self, model: Classifier, heads: set[str]):
        self.model = model
        self.inputs: dict[str, list[Tensor]] = {}
        owners = {key.rpartition(".")[0] for key in heads}
        # In the order of the network, not of a set.
        self.heads = {name: module for name, module in model.net.named_modules() if name in owners}
        for name, module in self.heads.items():
            if not isinstance(module, (nn.Linear, *CONVOLUTIONS)):
                raise UserError(
                    f"the classifier of {type(model.net).__name__} ends in {name or 'the network'}, a "
                    f"{type(module).__name__}: retrieval needs an nn.Linear or a convolution there"
                )
            module.register_forward_pre_hook(
                lambda _, arguments, name=name: self.inputs.setdefault(name, []).append(arguments[0])
            )

    def __call__(self, video: Tensor) -> dict[str, Tensor]:
        """Features by kind, float32. Raises UserError for a network that does not classify each clip once."""
        self.inputs.clear()
        output = self.model(video)
        features = {"pooled": torch.cat([self._pooled(name, len(video)) for name in self.heads], 1)}
        if output.filters is not None:
            features["dmr"] = mean_motion(output.filters.float())
        return features

    def _pooled(self, name: str, clips: int) -> Tensor:
        given = self.inputs.get(name, [])
        if len(given) != 1 or len(given[0]) != clips:
            shapes = " and ".join(str(tuple(tensor.shape)) for tensor in given) or "nothing"
            raise UserError(
                f"the classifier of {type(self.model.net).__name__} is given {shapes} for {clips} clips: retrieval "
                "needs one input, whose first dimension is the clips"
            )
        (features,) = given
        # A linear layer takes channels last, a convolution takes them second.
        if isinstance(self.heads[name], CONVOLUTIONS):
            features = features.movedim(1, -1)
        features = features.float().flatten(1, -2).mean(1) if features.dim() > 2 else features.float()
        stream = self.model.net.get_submodule(name.rpartition(".")[0])
        return features[:, : getattr(stream, "pooled_features", None)]


def mean_motion(filters: Tensor) -> Tensor:
    """Filters (N, T, S, C', k, k), as differences from those that leave a frame as it is, averaged over T: (N, d)."""
    scales, channels, size = filters.shape[2:5]
    identity = FilterShape(size, scales, channels).identity().to(filters)
    return (filters - identity).flatten(2).mean(1)


def video_features(
    title: str,
    extractor: FeatureExtractor,
    clips: EvalClips,
    execution: Execution,
    device: torch.device,
    workers: int,
    world: World,
) -> dict[str, Tensor]:
    """The features of videos by kind, each (videos, D) on the CPU: means over their views. Empty but at rank 0.

    Raises UserError naming a video whose features are not finite.
    """

    def process(videos: Tensor, _row: int) -> dict[str, Tensor]:
        """videos: uint8 (B, V, C, T, H, W)."""
        video = as_input(videos.flatten(0, 1), execution, device)
        with autocast(execution, device):
            passes = [extractor(part) for part in video.split(VIEWS_PER_PASS)]
        return {kind: values.unflatten(0, videos.shape[:2]).mean(1).cpu() for kind, values in _joined(passes).items()}

    parts = over_videos(title, clips, process, workers, world)
    features = _joined(parts) if parts else {}
    for kind, values in features.items():
        broken = ~values.isfinite().all(1)
        if broken.any():
            name = clips.rows.ids[int(broken.nonzero()[0])]
            raise UserError(f"the {kind} features of video {name} are not finite: train the run again, or use fp32")
    return features


def _joined(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {kind: torch.cat([part[kind] for part in parts]) for kind in parts[0]}
