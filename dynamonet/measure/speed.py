"""Latency, throughput and peak memory of inference, on the machine at hand."""

import resource
import statistics
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn

WARM_UP = 3
RUNS = 20
BATCH_SIZE = 8
CLEAR_REFS = Path("/proc/self/clear_refs")


@torch.no_grad()
def measure_speed(model: nn.Module, video: Tensor) -> dict[str, float]:
    """Latency of one clip, clips per second in batches, and peak memory of the batch.

    video: (1, C, T, H, W) on the model's device. Memory is what the batch adds to the loaded model: device
    memory on a GPU, resident memory on a CPU.
    """
    model.eval()
    latency_ms = [1e3 * seconds for seconds in _timed(model, video, RUNS)]
    batch = video.expand(BATCH_SIZE, *video.shape[1:]).contiguous()
    before_mib = reset_peak_mib(video.device)
    seconds = statistics.median(_timed(model, batch, max(3, RUNS // 4)))
    tenths = statistics.quantiles(latency_ms, n=10)
    return {
        "latency_ms_median": round(statistics.median(latency_ms), 3),
        "latency_ms_p10": round(tenths[0], 3),
        "latency_ms_p90": round(tenths[-1], 3),
        "clips_per_s": round(BATCH_SIZE / seconds, 2),
        "batch_size": BATCH_SIZE,
        "peak_memory_mib": round(peak_mib(video.device) - before_mib, 1),
    }


def _timed(model: nn.Module, video: Tensor, runs: int) -> list[float]:
    times_s = []
    for run in range(WARM_UP + runs):
        synchronise(video.device)
        began = time.perf_counter()
        model(video)
        synchronise(video.device)
        if run >= WARM_UP:
            times_s.append(time.perf_counter() - began)
    return times_s


def synchronise(device: torch.device) -> None:
    """Wait for what a GPU has been given to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def reset_peak_mib(device: torch.device) -> float:
    """Forget the peak of memory so far; returns what is in use now, in MiB: of the GPU, or resident."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device) / 2**20
    if CLEAR_REFS.exists():
        CLEAR_REFS.write_text("5")  # resets the kernel's record of the largest resident size
    return peak_mib(device)


def peak_mib(device: torch.device) -> float:
    """The peak of memory in MiB since `reset_peak_mib`."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**10
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
