"""Applying dynamic filters beside other ways of writing it: time and peak memory, on a CPU or a GPU.

    python benchmarks/dynamic_filters.py [cpu | cuda]

Every round times all forms one after the other, so that whatever else the machine does falls on all alike; the
ratio of the medians is the result. A CPU's times are CPU time of one thread. "Floor" moves the bytes that must be
moved and computes nothing: forward reads the frames and writes as much; the gradient of the filters reads frames and
gradient; the gradient of the frames reads and writes once more.
"""

import argparse
import multiprocessing
import os
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F

from dynamonet.engine.device import cpu_name
from dynamonet.models import filter_convolutions
from dynamonet.models.filter_operator import apply_dynamic_filters

ROUNDS = 5
SECONDS = 2.0  # a form that has taken so long sits out the remaining rounds
COLOURS, FRAMES, SIZES = 3, 16, (3, 5, 7, 9, 11)
CLIPS = {"cpu": {64: 8, 112: 4}, "cuda": {64: 128, 112: 64}}  # on a GPU, more than its cache holds
PASSES = {  # whether the gradients of the frames and of the filters are wanted
    "forward": (False, False),
    "+ gradient of filters": (False, True),
    "+ gradient of frames": (True, True),
}


def grouped_convolution(frames, filters):
    """Padded frames as groups, gradients by autograd; filters of any kind."""
    n, c, t, h, w = frames.shape
    k = filters.shape[-1]
    if filters.dim() == 4:
        pictures, kernels, groups = frames.permute(1, 0, 2, 3, 4).reshape(c, n * t, h, w), filters, n * t
    else:
        pictures, kernels, groups = frames.reshape(1, -1, h, w), filters.transpose(1, 2), n * c * t
    padded = F.pad(pictures, (k // 2,) * 4, mode="replicate")
    filtered = F.conv2d(padded, kernels.reshape(groups, 1, k, k), groups=groups)
    return filtered.view(c, n, t, h, w).transpose(0, 1) if filters.dim() == 4 else filtered.view(frames.shape)


def without_onednn(frames, filters):
    with torch.backends.mkldnn.flags(enabled=False):
        return grouped_convolution(frames, filters)


def shifted_sums(frames, filters):
    """k² multiply-adds over a padded copy, clip by clip, so that a clip stays in the cache; by autograd."""
    h, w = frames.shape[-2:]
    k = filters.shape[-1]
    clips = []
    for clip, taps in zip(F.pad(frames, (k // 2,) * 4 + (0, 0), mode="replicate"), filters, strict=True):
        filtered = torch.zeros((), device=frames.device)
        for i in range(k):
            for j in range(k):
                filtered = torch.addcmul(filtered, clip[..., i : i + h, j : j + w], taps[:, i, j, None, None])
        clips.append(filtered)
    return torch.stack(clips)


def unfolded(frames, filters):
    """Every neighbourhood as a column, then one product, clip by clip."""
    _, c, t, h, w = frames.shape
    k = filters.shape[-1]
    clips = []
    for clip, taps in zip(frames.transpose(1, 2), filters.flatten(2), strict=True):
        columns = F.unfold(F.pad(clip, (k // 2,) * 4, mode="replicate"), k).view(t, c, k * k, h * w)
        clips.append(torch.matmul(taps[:, None, None], columns).view(t, c, h, w).transpose(0, 1))
    return torch.stack(clips)


# name -> function and whether each colour has its own filter
FORMS = {
    "ours": (apply_dynamic_filters, False),
    "grouped convolution": (grouped_convolution, False),
    "shifted sums": (shifted_sums, False),
    "unfold": (unfolded, False),
    "ours, per colour": (apply_dynamic_filters, True),
    "grouped convolution, per colour": (grouped_convolution, True),
}
CPU_FORMS = {"grouped convolution without oneDNN": (without_onednn, False)}


class AsFunction(torch.autograd.Function):
    """Ours on a CPU, but not registered."""

    @staticmethod
    def forward(ctx, frames, filters):
        ctx.save_for_backward(frames, filters)
        return filter_convolutions.filter_frames(frames, filters.unsqueeze(2))

    @staticmethod
    def backward(ctx, grad):
        frames, filters = ctx.saved_tensors
        return None, filter_convolutions.gradient_of_filters(grad, frames, filters.shape[-1], 1).squeeze(2)


def inputs(device: str, clips: int, side: int, k: int, per_colour: bool):
    """Frames, filters and a gradient of the output."""
    frames = torch.rand(clips, COLOURS, FRAMES, side, side, device=device)
    filters = torch.rand(clips, FRAMES, *((COLOURS,) if per_colour else ()), k, k, device=device)
    return frames, filters, torch.rand_like(frames)


def run(function, frames, filters, grad, of_frames: bool, of_filters: bool):
    wanted = [tensor.detach().requires_grad_(flag) for tensor, flag in ((frames, of_frames), (filters, of_filters))]
    out = function(*wanted)
    if of_filters:
        out.backward(grad)
    return out, *(tensor.grad for tensor in wanted)


def floor(frames, filters, grad, of_frames: bool, of_filters: bool):
    torch.empty_like(frames).copy_(frames)
    if of_filters:
        torch.dot(frames.view(-1), grad.view(-1))
    if of_frames:
        torch.empty_like(grad).copy_(grad)


def seconds(device: str, call) -> float:
    if device == "cpu":
        began = time.process_time()
        call()
        return time.process_time() - began
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3


def times(device: str, calls: dict) -> dict[str, float]:
    """Median seconds of each call."""
    taken = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(ROUNDS if device == "cpu" else 10 * ROUNDS):
        for name, call in calls.items():
            if sum(taken[name]) < SECONDS:
                taken[name].append(seconds(device, call))
    return {name: statistics.median(values) for name, values in taken.items()}


def compared(device: str, forms: dict, side: int, k: int) -> dict[str, list[str]]:
    """For every form its cells: milliseconds of each pass, and how many times ours."""
    given = {per_colour: inputs(device, CLIPS[device][side], side, k, per_colour) for per_colour in (False, True)}
    for function, per_colour in forms.values():
        frames, filters, _ = given[per_colour]
        expected = grouped_convolution(frames, filters)
        torch.testing.assert_close(function(frames, filters), expected, rtol=1e-3, atol=1e-3)
    cells = {name: [] for name in ("floor", *forms)}
    for flags in PASSES.values():
        calls = {"floor": partial(floor, *given[False], *flags)}
        calls |= {name: partial(run, function, *given[kind], *flags) for name, (function, kind) in forms.items()}
        medians = times(device, calls)
        for name, median in medians.items():
            cells[name].append(f"{1e3 * median:.2f} ({median / medians['ours']:.1f}×)")
    return cells


def print_times(device: str, forms: dict) -> None:
    print("| side | k | form | " + " | ".join(f"{name}, ms" for name in PASSES) + " |")
    print("|---|---|---|" + "---|" * len(PASSES))
    for side in CLIPS[device]:
        for k in SIZES:
            for name, cells in compared(device, forms, side, k).items():
                print(f"| {side}² | {k} | {name} | " + " | ".join(cells) + " |", flush=True)


def status_bytes(field: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def peak_memory(device: str, name: str, k: int) -> float:
    """Most memory held at once beside inputs, output and gradients, over that of the frames; in a fresh process."""
    torch.set_num_threads(1)
    function, per_colour = (FORMS | CPU_FORMS)[name]
    frames, filters, grad = inputs(device, 16, 112, k, per_colour)
    run(function, frames[:1], filters[:1], grad[:1], False, True)  # loads what the first call loads
    if device == "cpu":
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew (Linux)
        before = status_bytes("VmRSS")
        kept = run(function, frames, filters, grad, False, True)
        peak = status_bytes("VmHWM")
    else:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        kept = run(function, frames, filters, grad, False, True)
        peak = torch.cuda.max_memory_allocated()
    results = sum(tensor.nbytes for tensor in kept if tensor is not None)
    return (peak - before - results) / frames.nbytes


def print_memory(device: str, forms: dict) -> None:
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "65536"  # freed memory goes back at once, or the next peak would hide in it
    print(f"| form | {' | '.join(f'k = {k}' for k in SIZES)} |\n|---|" + "---|" * len(SIZES))
    for name in forms:
        cells = []
        for k in SIZES:
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
                cells.append(f"{process.submit(peak_memory, device, name, k).result():.2f}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def print_overhead() -> None:
    frames, filters, grad = torch.rand(1, 3, 1, 2, 2), torch.rand(1, 1, 3, 3), torch.rand(1, 3, 1, 2, 2)
    calls = {
        name: lambda function=function: [run(function, frames, filters, grad, False, True) for _ in range(200)]
        for name, function in (("registered", apply_dynamic_filters), ("autograd.Function", AsFunction.apply))
    }
    for name, median in times("cpu", calls).items():
        print(f"- {name}: {1e6 * median / 200:.0f} µs for frames of four pixels, forward and backward")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("device", nargs="?", default="cpu", choices=list(CLIPS))
    device = parser.parse_args().device
    torch.set_num_threads(1)
    machine = f"{cpu_name()}, 1 thread" if device == "cpu" else torch.cuda.get_device_name()
    forms = FORMS | (CPU_FORMS if device == "cpu" else {})
    clips = " and ".join(f"{n} clips at {side}²" for side, n in CLIPS[device].items())
    print(f"{machine}, torch {torch.__version__}, fp32; {clips}, of {FRAMES} frames\n\n## Time\n")
    print_times(device, forms)
    print("\n## Peak memory beside inputs, output and gradients, in sizes of the frames\n")
    print("16 clips at 112², with the gradient of the filters.\n")
    print_memory(device, forms)
    if device == "cpu":
        print("\n## Cost of registering the operator\n")
        print_overhead()


if __name__ == "__main__":
    main()
