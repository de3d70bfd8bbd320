"""Latency, throughput and peak memory of inference, on the machine at hand."""

import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import torch
from torch import Tensor, nn

from dynamonet.engine.acceleration import autocast
from dynamonet.engine.memory import is_out_of_memory
from dynamonet.recipe import Execution

WARM_UP = 3
RUNS = (3, 30)
"""Fewest and most runs of one batch size that are timed."""
RUNS_S = 1.5
"""After so many seconds of runs no further one begins, once there are the fewest."""
SEARCH_S = 30.0
"""No batch size is tried whose runs would end so many seconds after the first began."""
BETTER = 1.02
"""Throughput that counts as improved, over the best before."""
PATIENCE = 2
"""Batch sizes without improvement that end the search."""
CLEAR_REFS = Path("/proc/self/clear_refs")


@torch.no_grad()
def measure_speed(
    model: nn.Module, video: Tensor, loaded_mib: float, precision: str = "fp32"
) -> dict[str, float | str]:
    """Latency of one clip, clips per second at the best batch size, and peak memory of both.

    video: (1, C, T, H, W) on the model's device. loaded_mib: what `reset_peak_mib` returned before the model's first
    pass; a CPU's allocator keeps what that has used. precision: as in a recipe; `prepare_device` must know it too. The
    batch size doubles from 1 until throughput has stopped improving, memory has run out, or the next would take too
    long; `batch_size_limit` says which. Memory is what inference adds to the loaded model, its input included: device
    memory on a GPU, resident memory on a CPU.
    """
    model.eval()
    device = video.device

    def forward(batch: Tensor) -> None:
        with autocast(Execution(precision=precision), device):
            model(batch)

    began = time.monotonic()
    reset_peak_mib(device)
    latency_s = _timed(forward, video)
    clip_mib = peak_mib(device) - loaded_mib
    batch_size, size, limit, seconds, mib = 1, 1, "", statistics.median(latency_s), clip_mib
    best_clips_per_s, best_mib, without_improvement = 1 / seconds, clip_mib, 0
    while not limit:
        size *= 2
        if time.monotonic() - began + 2 * seconds * (1 + RUNS[0]) > SEARCH_S:
            limit = "time"
        elif device.type == "cpu" and 2 * mib > psutil.virtual_memory().available / 2**20:
            limit = "memory"  # the system would grant it, and then kill the process
        else:
            try:
                seconds, mib = _batch(forward, video, size, loaded_mib)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                limit = "memory"
        if not limit and size / seconds > BETTER * best_clips_per_s:
            batch_size, best_clips_per_s, best_mib, without_improvement = size, size / seconds, mib, 0
        elif not limit:
            without_improvement += 1
            limit = "throughput" if without_improvement == PATIENCE else ""
    tenths = statistics.quantiles(latency_s, n=10, method="inclusive")
    return {
        "latency_ms_median": round(1e3 * statistics.median(latency_s), 3),
        "latency_ms_p10": round(1e3 * tenths[0], 3),
        "latency_ms_p90": round(1e3 * tenths[-1], 3),
        "latency_runs": len(latency_s),
        "clip_peak_memory_mib": round(clip_mib, 1),
        "clips_per_s": round(best_clips_per_s, 2),
        "batch_size": batch_size,
        "batch_size_limit": limit,
        "peak_memory_mib": round(best_mib, 1),
    }


def _batch(forward: Callable[[Tensor], None], video: Tensor, size: int, loaded_mib: float) -> tuple[float, float]:
    """Median seconds of a batch of `size` clips, and its peak of memory in MiB above `loaded_mib`."""
    if video.is_cuda:
        torch.cuda.empty_cache()
    reset_peak_mib(video.device)
    seconds = statistics.median(_timed(forward, video.expand(size, *video.shape[1:]).contiguous()))
    return seconds, peak_mib(video.device) - loaded_mib


def _timed(forward: Callable[[Tensor], None], batch: Tensor) -> list[float]:
    """Seconds of each run, after those that warm up."""
    times_s: list[float] = []
    began = time.perf_counter()
    for _ in range(WARM_UP):
        _run(forward, batch)
        if time.perf_counter() - began > RUNS_S / WARM_UP:
            break
    began = time.perf_counter()
    while len(times_s) < RUNS[0] or (len(times_s) < RUNS[1] and time.perf_counter() - began < RUNS_S):
        times_s.append(_run(forward, batch))
    return times_s


def _run(forward: Callable[[Tensor], None], batch: Tensor) -> float:
    synchronise(batch.device)
    began = time.perf_counter()
    forward(batch)
    synchronise(batch.device)
    return time.perf_counter() - began


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
