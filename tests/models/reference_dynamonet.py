"""What DynamoNet computes, sample by sample and frame by frame: slow, plain, and independent of the package.

Written from the paper and the options' descriptions. Parameters come as a state dict with the network's names; a batch
is a list of samples, because batch normalisation alone looks at more than one.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

MEAN, DEVIATION = (float(torch.tensor(value)) for value in (0.45, 0.225))  # the network stores them in fp32
BLOCKS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2)}


class ReferenceDynamoNet:
    """`options` as `build` takes them, all of them; `training`: normalise by the batch's own statistics."""

    def __init__(self, state: dict[str, Tensor], options: dict, training: bool):
        self.state, self.options, self.training = state, options, training

    def __call__(self, video: Tensor) -> dict[str, Tensor]:
        """video: (N, 3, T, H, W) in [0, 1]. Returns logits, representation and, where there are any, filters
        (N, T, S, C', k, k) and predicted frames (N, 3, T, H, W)."""
        options, clips = self.options, list(video)
        maps = self.backbone([(clip - MEAN) / DEVIATION for clip in clips])
        representations = [last.mean((1, 2, 3)) for last in maps[-1]]
        output = {}
        if options["prediction"] or options["dmr_features"]:
            if options["features_detached"]:
                maps = [[sample.detach() for sample in one] for one in maps]
            filters = self.filters(maps, video.shape[2])
            output["filters"] = torch.stack(filters)
            if options["dmr_features"]:
                detached = options["dmr_detached"] and options["prediction"]
                motions = self.motion([own.detach() if detached else own for own in filters])
                representations = [torch.cat(pair) for pair in zip(representations, motions, strict=True)]
            if options["prediction"]:
                output["predicted_frames"] = torch.stack([
                    torch.stack([predicted(clip[:, t], own[t]) for t in range(clip.shape[1])], dim=1)
                    for clip, own in zip(clips, filters, strict=True)
                ])  # fmt: skip
        weight, bias = self.state["fc.weight"], self.state["fc.bias"]
        output["representation"] = torch.stack(representations)
        output["logits"] = torch.stack([weight @ representation + bias for representation in representations])
        return output

    def backbone(self, clips: list[Tensor]) -> list[list[Tensor]]:
        """The feature maps of all samples after the stem and after each of the four stages."""
        size = self.state["backbone.conv1.weight"].shape[2]
        x = self.convolved(clips, "backbone.conv1", (1, 2, 2), (size // 2, 3, 3))
        x = rectified(self.normalised(x, "backbone.bn1"))
        maps = [x]
        x = [F.max_pool3d(sample, 3, stride=2, padding=1) for sample in x]
        for stage, blocks in enumerate(BLOCKS[self.options["depth"]], start=1):
            for block in range(blocks):
                x = self.block(x, f"backbone.layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1)
            maps.append(x)
        return maps

    def block(self, x: list[Tensor], name: str, stride: int) -> list[Tensor]:
        branch = rectified(self.normalised(self.convolved(x, f"{name}.conv1", stride, 1), f"{name}.bn1"))
        branch = self.normalised(self.convolved(branch, f"{name}.conv2", 1, 1), f"{name}.bn2")
        if f"{name}.downsample.0.weight" in self.state:
            x = self.normalised(self.convolved(x, f"{name}.downsample.0", stride, 0), f"{name}.downsample.1")
        return rectified([one + other for one, other in zip(branch, x, strict=True)])

    def convolved(self, x: list[Tensor], name: str, stride, padding) -> list[Tensor]:
        return [F.conv3d(sample, self.state[f"{name}.weight"], None, stride, padding) for sample in x]

    def normalised(self, x: list[Tensor], name: str, epsilon: float = 1e-5) -> list[Tensor]:
        """Batch normalisation of samples (C, ...)."""
        if self.training:
            values = torch.cat([sample.reshape(len(sample), -1) for sample in x], dim=1)
            mean = values.sum(1) / values.shape[1]
            variance = ((values - mean[:, None]) ** 2).sum(1) / values.shape[1]
        else:
            mean, variance = self.state[f"{name}.running_mean"], self.state[f"{name}.running_var"]
        scale = self.state[f"{name}.weight"] / (variance + epsilon) ** 0.5
        shift = self.state[f"{name}.bias"] - mean * scale
        dimensions = (-1,) + (1,) * (x[0].dim() - 1)
        return [sample * scale.view(dimensions) + shift.view(dimensions) for sample in x]

    def filters(self, maps: list[list[Tensor]], frames: int) -> list[Tensor]:
        """The filters (T, S, C', k, k) of each sample."""
        options = self.options
        dimensions = options["filter_scales"], 3 if options["filter_per_channel"] else 1, *[options["filter_size"]] * 2
        if options["filter_source"] == "static":
            raw = [[self.state["generator.raw"][t] for t in range(frames)] for _ in maps[0]]
        else:
            hidden = self.hidden(maps, frames)
            weight, bias = self.state["generator.last.weight"][:, :, 0], self.state["generator.last.bias"]
            raw = [[(weight @ own[:, t] + bias).view(dimensions) for t in range(frames)] for own in hidden]
        kind = options["filter_normalisation"]
        return [
            torch.stack([torch.stack([torch.stack([normal(one, kind) for one in s]) for s in t]) for t in own])
            for own in raw
        ]

    def hidden(self, maps: list[list[Tensor]], frames: int) -> list[Tensor]:
        """What the generator's last layer sees: (hidden, T) of each sample."""
        weight = self.state["generator.mix.0.weight"]
        mixed = []
        for own in zip(*maps, strict=True):  # one sample's maps
            columns = []
            for t in range(frames):
                column = []
                for over_time in (one.mean((2, 3)) for one in own):  # (C_i, T_i)
                    if self.options["filter_source"] == "pooled":
                        column.append(over_time.mean(1))
                    else:
                        column.append(at_time(over_time, t, frames))
                columns.append(torch.cat(column))
            mixed.append(neighbours_weighed(columns, weight))
        return rectified(self.normalised(mixed, "generator.mix.1"))

    def motion(self, filters: list[Tensor]) -> list[Tensor]:
        """The DMR of each sample."""
        options = self.options
        identity = torch.zeros_like(filters[0][0])
        identity[..., options["filter_size"] // 2, options["filter_size"] // 2] = 1
        moved = [[(frame - identity).flatten() for frame in own] for own in filters]
        if options["dmr_pooling"] == "flatten":
            vectors = [torch.cat(own) for own in moved]
            if not options["dmr_projected"]:
                return vectors
            vectors = [self.state["dmr.project.weight"] @ vector for vector in vectors]
            return rectified(self.normalised(vectors, "dmr.norm", 1e-2))
        if not options["dmr_projected"]:
            return [sum(own) / len(own) for own in moved]
        projected = [neighbours_weighed(own, self.state["dmr.project.weight"]) for own in moved]
        return [own.mean(1) for own in rectified(self.normalised(projected, "dmr.norm", 1e-2))]


def rectified(x: list[Tensor]) -> list[Tensor]:
    return [sample.clamp(min=0) for sample in x]


def neighbours_weighed(columns: list[Tensor], weight: Tensor) -> Tensor:
    """Frame t becomes Σ_j weight[:, :, j] · frame[t + j - 1], with nothing before the first and after the last."""
    mixed = []
    for t in range(len(columns)):
        terms = [weight[:, :, j] @ columns[t + j - 1] for j in range(3) if 0 <= t + j - 1 < len(columns)]
        mixed.append(sum(terms))
    return torch.stack(mixed, dim=1)


def between(position: float, count: int) -> tuple[int, int, float]:
    """The two of `count` samples around a position, and the weight of the second."""
    position = min(max(position, 0.0), count - 1.0)
    first = min(int(position), count - 1)
    return first, min(first + 1, count - 1), position - first


def at_time(over_time: Tensor, t: int, frames: int) -> Tensor:
    """Frame t of (C, T_i) resampled to `frames`: both cover the same time, each sample in the middle of its part."""
    first, second, weight = between((t + 0.5) * over_time.shape[1] / frames - 0.5, over_time.shape[1])
    return (1 - weight) * over_time[:, first] + weight * over_time[:, second]


def normal(raw: Tensor, kind: str) -> Tensor:
    """One filter (k, k)."""
    if kind == "raw":
        return raw
    if kind == "softmax":
        return raw.exp() / raw.exp().sum()
    return raw - raw.sum() / raw.numel() + 1 / raw.numel()


def predicted(frame: Tensor, filters: Tensor) -> Tensor:
    """The successor of a frame (3, H, W) by filters (S, C', k, k)."""
    return torch.stack([
        predicted_colour(frame[colour], [own[colour if len(own) > 1 else 0] for own in filters]) for colour in range(3)
    ])  # fmt: skip


def predicted_colour(image: Tensor, filters: list[Tensor]) -> Tensor:
    """Σ over scales of the filtered levels of the Laplacian pyramid; `filters` from fine to coarse."""
    if len(filters) == 1:
        return filtered(image, filters[0])
    half = (image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2]) / 4
    return filtered(image - doubled(half), filters[0]) + doubled(predicted_colour(half, filters[1:]))


def filtered(image: Tensor, weights: Tensor) -> Tensor:
    """Σ weights[i, j] · image[y + i - k//2, x + j - k//2]; outside, the nearest pixel of the border."""
    height, width = image.shape
    k = len(weights)
    rows = [torch.arange(height).add(i - k // 2).clamp(0, height - 1) for i in range(k)]
    columns = [torch.arange(width).add(j - k // 2).clamp(0, width - 1) for j in range(k)]
    return sum(weights[i, j] * image[rows[i]][:, columns[j]] for i in range(k) for j in range(k))


def doubled(image: Tensor) -> Tensor:
    """Bilinear interpolation to twice the size, pixels being squares."""

    def rows_doubled(image: Tensor) -> Tensor:
        rows = []
        for row in range(2 * len(image)):
            first, second, weight = between((row + 0.5) / 2 - 0.5, len(image))
            rows.append((1 - weight) * image[first] + weight * image[second])
        return torch.stack(rows)

    return rows_doubled(rows_doubled(image).T).T


def classification_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy."""
    losses = [own.exp().sum().log() - own[label] for own, label in zip(logits, labels, strict=True)]
    return sum(losses) / len(losses)


def prediction_loss(predicted_frames: Tensor, video: Tensor) -> Tensor:
    """Smooth L1 (β = 0.05) of each frame's predicted successor, by that of the frame itself; video has T + 1 frames."""

    def mean_loss(one: Tensor, other: Tensor) -> Tensor:
        losses = []
        for sample in range(len(one)):
            for t in range(one.shape[2]):
                error = (one[sample, :, t] - other[sample, :, t]).abs()
                losses.append(torch.where(error < 0.05, error**2 / 0.1, error - 0.025).mean())
        return sum(losses) / len(losses)

    return mean_loss(predicted_frames, video[:, :, 1:]) / mean_loss(video[:, :, :-1], video[:, :, 1:])
