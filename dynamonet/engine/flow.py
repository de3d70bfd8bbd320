"""The flow stage: the optical flow of a data set's videos, computed once and stored."""

import os
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from dynamonet.data.flow import flow_path, write_flow
from dynamonet.data.manifest import Manifest
from dynamonet.data.video import read_frames
from dynamonet.engine.device import prepare_device
from dynamonet.engine.distribution import World
from dynamonet.models.card import FLOW_SIDE
from dynamonet.models.optical_flow import PAIRS_PER_PASS, Raft
from dynamonet.spec import FlowSpec, read_spec

STORED_SIDE = 128
"""Shorter side of stored fields, in pixels: as fine as a crop of 112 can show, and a quarter of the bytes of 256."""


def store_flow(spec_path: Path, variant: str) -> None:
    """Write the flow of every usable video of the data set of `flow/<dataset>.spec.json` that has none yet.

    Several processes share the videos. Raises UserError for a data set that is not prepared, ValueError and
    UserError as `Raft` does, and VideoError for a video that breaks.
    """
    spec_path = Path(spec_path).absolute()
    spec = read_spec(FlowSpec, spec_path)
    manifest = Manifest.load(spec_path.parents[1] / "manifests" / f"{spec.dataset}.parquet")
    world = World.of(os.environ)
    device = prepare_device(torch.get_num_threads(), world.local_rank)
    raft = Raft(variant)
    # A "duplicate" is left out of one split's training, and used in others.
    usable = manifest.rows[manifest.rows["status"].isin(["ok", "duplicate"]) & (manifest.rows["frames"] > 1)]
    own = list(zip(usable["path"], usable["frames"], strict=True))[world.rank :: world.size]
    with world.progress(f"flow {spec.dataset}") as report:
        for done, (video, frames) in enumerate(own, start=1):
            path = flow_path(spec.flow_root, video)
            if not path.exists():
                write_flow(path, flow_of(read_frames(manifest.root / video, range(frames)), raft, device))
            report(done, len(own))


def flow_of(frames: np.ndarray, raft: Raft, device: torch.device) -> np.ndarray:
    """Flow (T - 1, h, w, 2) between frames, uint8 (T, H, W, 3), in 256ths of their shorter side."""
    shorter = min(frames.shape[1:3])
    seen, stored = (
        [round(side * min(1, limit / shorter)) for side in frames.shape[1:3]] for limit in (FLOW_SIDE, STORED_SIDE)
    )
    fields = []
    for start in range(0, len(frames) - 1, PAIRS_PER_PASS):
        pixels = torch.from_numpy(frames[start : start + PAIRS_PER_PASS + 1]).to(device).permute(0, 3, 1, 2)
        pixels = F.interpolate(pixels.float() / 255, seen, mode="area")
        flow = raft.between(pixels[:-1], pixels[1:])
        fields.append(F.interpolate(flow, stored, mode="area").permute(0, 2, 3, 1).cpu().numpy())
    return np.concatenate(fields)
