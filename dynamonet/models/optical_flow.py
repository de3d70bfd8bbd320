"""Optical flow by RAFT (Teed and Deng, ECCV 2020) as torchvision implements it, with torchvision's weights."""

import re
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from dynamonet.errors import UserError
from dynamonet.files import sha256_file
from dynamonet.models.card import FLOW_BOUND, FLOW_SIDE

WEIGHTS = {
    "raft_small": "https://download.pytorch.org/models/raft_small_C_T_V2-01064c6d.pth",
    "raft_large": "https://download.pytorch.org/models/raft_large_C_T_SKHT_V2-ff5fadd5.pth",
}
"""torchvision's default weights of each variant; the file's name ends in the first digits of its SHA-256."""
LEAST_SIDE = 128
"""Pixels: smaller frames have too few features for RAFT's correlation pyramid, and are enlarged."""
PAIRS_PER_PASS = 32
"""Pairs of frames that go through RAFT at once: the memory needed does not grow with the batch."""


class Raft:
    """RAFT, frozen, behind one call. Not a module of the network that uses it.

    So it is in no state dict and no optimiser, stays in evaluation mode, and has the same published weights in every
    run. It follows its input's device and computes in fp32, also under autocast. Weights come from torch.hub's
    folder, and are downloaded to it if they are not there. Raises ValueError for an unknown variant and UserError for
    weights that are neither there nor to be had.
    """

    def __init__(self, variant: str = "raft_small"):
        from torchvision.models import optical_flow

        if variant not in WEIGHTS:
            raise ValueError(f"RAFT is one of {', '.join(WEIGHTS)}, not {variant!r}")
        # The architecture without values: nothing is drawn, and no parameter can be left at random.
        with torch.device("meta"):
            self.net = getattr(optical_flow, variant)()
        state = torch.load(weights_file(WEIGHTS[variant]), map_location="cpu", weights_only=True)
        self.net.load_state_dict(state, assign=True)
        self.net.eval().requires_grad_(False)

    @torch.compiler.disable
    def __call__(self, video: Tensor) -> Tensor:
        """The flow from each frame of a clip to the next, as a network takes it.

        video: (N, 3, T, H, W) in [0, 1], T at least 2. Returns (N, 2, T, H, W), (right, down), in [-1, 1], which is
        `FLOW_BOUND`. Frame T has no next one, and gets the flow of the frame before it.
        """
        frames = video.transpose(1, 2)  # (N, T, 3, H, W)
        flow = self.between(frames[:, :-1].flatten(0, 1), frames[:, 1:].flatten(0, 1))
        flow = flow.reshape(len(video), -1, *flow.shape[1:]).transpose(1, 2)
        return torch.cat([flow, flow[:, :, -1:]], 2).div(FLOW_BOUND).clamp(-1, 1)

    @torch.no_grad()
    def between(self, first: Tensor, second: Tensor) -> Tensor:
        """Flow (n, 2, H, W), (right, down), from frames `first` to frames `second`, (n, 3, H, W) in [0, 1].

        In 256ths (`FLOW_SIDE`) of the frames' shorter side.
        """
        self.net.to(first.device)
        height, width = first.shape[-2:]
        # RAFT takes sides that are multiples of 8.
        size = [max(LEAST_SIDE, -(-side // 8) * 8) for side in (height, width)]
        scale = first.new_tensor([width / size[1], height / size[0]]).mul(FLOW_SIDE / min(height, width))
        flows = []
        with torch.autocast(first.device.type, enabled=False):
            for pair in zip(first.split(PAIRS_PER_PASS), second.split(PAIRS_PER_PASS), strict=True):
                flow = self.net(*(_resized(frames.float(), size) * 2 - 1 for frames in pair))[-1]
                flows.append(_resized(flow, [height, width]))
        return torch.cat(flows) * scale.view(1, 2, 1, 1)


def weights_file(url: str) -> Path:
    """The file of published weights, downloaded if it is not there, and verified. Raises UserError naming both."""
    name = url.rpartition("/")[2]
    digits = re.search(r"-([0-9a-f]{8,})\.pth$", name).group(1)
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    try:
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), hash_prefix=digits, progress=False)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"optical flow needs {path}, and downloading it failed ({error}): get {url} on another machine and put "
            "it there (TORCH_HOME sets the folder)"
        ) from error
    found = sha256_file(path)
    if not found.startswith(digits):
        raise UserError(f"{path} is damaged: its SHA-256 begins with {found[:8]}, not {digits}; remove it")
    return path


def _resized(frames: Tensor, size: list[int]) -> Tensor:
    if list(frames.shape[-2:]) == size:
        return frames
    return F.interpolate(frames, size, mode="bilinear", align_corners=False)
