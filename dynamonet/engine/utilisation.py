"""MFU, model FLOPs utilisation: the share of a GPU's peak arithmetic that the training of a model makes use of.

As PaLM defines it (Chowdhery et al. 2022, appendix B): clips per second times the FLOPs that the model itself needs
for a clip, over the peak. What is computed again for gradient checkpointing does not count; with it, the figure would
be the hardware FLOPs utilisation.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

# 10¹² FLOP/s at boost clock, dense (where a datasheet gives figures with structured sparsity: half of those), of fp32
# and of matrix products in tf32, bf16 and fp16 with sums in fp32. None: no such arithmetic. Names as CUDA gives them.
# Sources: NVIDIA's datasheets of each product; for GeForce and RTX cards its GA102 and Ada architecture whitepapers.
PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
PEAKS_TFLOPS = {
    r"Tesla T4": (8.1, None, None, 65.0),
    r"Tesla V100-PCIE-\d+GB": (14.0, None, None, 112.0),
    r"Tesla V100-SXM[23]-\d+GB(-LS)?": (15.7, None, None, 125.0),
    r"A10": (31.2, 62.5, 125.0, 125.0),
    r"A30": (10.3, 82.0, 165.0, 165.0),
    r"A40": (37.4, 74.8, 149.7, 149.7),
    r"A100-(SXM4|PCIE)-\d+GB|A100 80GB PCIe": (19.5, 156.0, 312.0, 312.0),
    r"L4": (30.3, 60.0, 121.0, 121.0),
    r"L40": (90.5, 90.5, 181.0, 181.0),
    r"L40S": (91.6, 183.0, 362.0, 362.0),
    r"H100 PCIe": (51.0, 378.0, 756.0, 756.0),
    r"H100 NVL": (60.0, 417.5, 835.5, 835.5),
    r"H100 80GB HBM3|GH200 480GB": (67.0, 494.5, 989.5, 989.5),
    r"H200 NVL": (60.0, 417.5, 835.5, 835.5),
    r"H200|GH200 144G HBM3e": (67.0, 494.5, 989.5, 989.5),
    r"GeForce RTX 3090": (35.6, 35.6, 71.0, 71.0),
    r"RTX A6000": (38.7, 77.4, 154.8, 154.8),
    r"GeForce RTX 4090": (82.6, 82.6, 165.2, 165.2),
    r"RTX 6000 Ada Generation": (91.1, 182.1, 364.2, 364.2),
}


def peak_flops_per_s(device_name: str, precision: str) -> float | None:
    """Published dense peak of one GPU, in FLOP/s; None for a device that is not in the table, CPUs among them.

    device_name: as `torch.cuda.get_device_name` gives it. precision: fp32, tf32, bf16 or fp16, of the products; a GPU
    without tf32 computes them in fp32, and so counts with that peak.
    """
    name = device_name.removeprefix("NVIDIA ")
    for pattern, peaks in PEAKS_TFLOPS.items():
        if re.fullmatch(pattern, name):
            fp32, tf32, bf16, fp16 = peaks
            tflops = {"fp32": fp32, "tf32": tf32 or fp32, "bf16": bf16, "fp16": fp16}[precision]
            return None if tflops is None else tflops * 1e12
    return None


def training_flops_per_clip(model: nn.Module, clip_cthw: tuple[int, int, int, int]) -> float:
    """FLOPs of a training step on one clip of shape (C, T, H, W): three forward passes, as backward costs two.

    Counts products of two activations or of activations with weights, a multiply-accumulate as two. A forward pass on
    one clip of zeros is counted on the model's device; the model and torch's generators are left as they were. The
    model is the one that computes, without wrappers of DistributedDataParallel or torch.compile, and is taken to be
    trained in all of its parts: with frozen ones the backward pass costs less than is counted here.
    """
    import dynamonet.measure.cost  # noqa: F401  teaches torch's counter the filters' operator

    device = next(model.parameters()).device
    gpus = [device] if device.type == "cuda" else []
    with _evaluating(model), torch.random.fork_rng(gpus), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, *clip_cthw, device=device))
    return 3.0 * counter.get_total_flops()


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Batch normalisation keeps its statistics, dropout draws nothing; each module's own flag comes back."""
    training = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, flag in training:
            module.training = flag


def mfu(clips_per_s: float, flops_per_clip: float, peak: float, world_size: int) -> float:
    """Share of the peak, 0 to 1. clips_per_s: of all `world_size` processes; peak: FLOP/s of one process's GPU."""
    return clips_per_s * flops_per_clip / (peak * world_size)
