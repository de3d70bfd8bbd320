"""Applying dynamic filters, forward and backward, beside two plain ways of writing it.

    python benchmarks/dynamic_filters.py

Every round times all forms one after the other, so that whatever else the machine does falls on all alike; the
ratio of the medians is the result.
"""

import statistics
import time

import torch
import torch.nn.functional as F

from dynamonet.engine.device import cpu_name
from dynamonet.models.filter_operator import apply_dynamic_filters

ROUNDS = 7
BATCH, FRAMES, SIDE = 16, 16, 64


def grouped_convolution(frames, filters):
    """Frames as groups, gradients by autograd."""
    n, c, t, h, w = frames.shape
    k = filters.shape[-1]
    padded = F.pad(frames.permute(1, 0, 2, 3, 4).reshape(c, n * t, h, w), (k // 2,) * 4, mode="replicate")
    filtered = F.conv2d(padded, filters.reshape(n * t, 1, k, k), groups=n * t)
    return filtered.view(c, n, t, h, w).permute(1, 0, 2, 3, 4)


def unfolded(frames, filters):
    """Every neighbourhood as a column, then one product."""
    n, c, t, h, w = frames.shape
    k = filters.shape[-1]
    padded = F.pad(frames.permute(0, 2, 1, 3, 4).reshape(n * t, c, h, w), (k // 2,) * 4, mode="replicate")
    columns = F.unfold(padded, k).view(n, t, c, k * k, h, w)
    return torch.einsum("ntckhw,ntk->ncthw", columns, filters.reshape(n, t, k * k))


FORMS = {"ours": apply_dynamic_filters, "grouped convolution": grouped_convolution, "unfold": unfolded}


def seconds(form, frames, filters) -> float:
    began = time.perf_counter()
    form(frames, filters).square().mean().backward()
    return time.perf_counter() - began


def main() -> None:
    torch.set_num_threads(1)
    print(f"{cpu_name()}, 1 thread, torch {torch.__version__}; {BATCH} clips of {FRAMES} frames, {SIDE}², fp32")
    print("| k | form | forward + backward, ms | slower than ours |\n|---|---|---|---|")
    for k in (3, 5, 7, 11):
        frames = torch.rand(BATCH, 3, FRAMES, SIDE, SIDE)
        filters = torch.rand(BATCH, FRAMES, k, k, requires_grad=True)
        expected = grouped_convolution(frames, filters)
        times = {name: [] for name in FORMS}
        for form in FORMS.values():
            torch.testing.assert_close(form(frames, filters), expected, rtol=1e-4, atol=1e-4)
        for _ in range(ROUNDS):
            for name, form in FORMS.items():
                times[name].append(seconds(form, frames, filters))
        ours = statistics.median(times["ours"])
        for name in times:
            median = statistics.median(times[name])
            print(f"| {k} | {name} | {1e3 * median:.1f} | {median / ours:.1f}× |")


if __name__ == "__main__":
    main()
