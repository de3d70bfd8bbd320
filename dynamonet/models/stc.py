"""The spatio-temporal channel correlation (STC) block of Diba et al. (ECCV 2018, arXiv 1806.07754)."""

from torch import Tensor, nn


class STCBlock(nn.Module):
    """Gates channels by what correlates with them over a whole clip.

    Input and output: (N, C, T, H, W), with C = `channels` and T = `frames` at this depth. The temporal correlation
    branch pools over time and space: C values to C / r to C. The spatial one pools over space alone, so that it sees
    when: T·C values to C / r to C. A sigmoid turns each into gates on the features, and the two gated features are
    averaged or summed (`combine`: mean or sum).

    With `full_rank` the spatial branch is one layer from T·C to C. No size of its layers could be found printed. Third
    parties quote 184 million parameters for STC-ResNeXt-101: full rank at 32 frames has 186, a bottleneck 60.

    r = `reduction` divides the channels.
    """

    def __init__(self, channels: int, frames: int, reduction: int = 16, full_rank: bool = False, combine: str = "mean"):
        super().__init__()
        self.combine = combine
        self.temporal = _bottleneck(channels, channels // reduction, channels)
        if full_rank:
            self.spatial = nn.Linear(frames * channels, channels)
        else:
            self.spatial = _bottleneck(frames * channels, channels // reduction, channels)

    def forward(self, x: Tensor) -> Tensor:
        over_space = x.mean((-2, -1))
        gates = self.temporal(over_space.mean(-1)).sigmoid() + self.spatial(over_space.flatten(1)).sigmoid()
        # Both branches gate the same features: one product is the sum of the two gated ones.
        return x * (gates / 2 if self.combine == "mean" else gates)[..., None, None, None]


def _bottleneck(inputs: int, middle: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, middle), nn.ReLU(inplace=True), nn.Linear(middle, outputs))
