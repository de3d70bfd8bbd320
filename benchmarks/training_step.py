"""What a training step costs: the plain path beside the fastest one, and DynamoNet beside its backbone alone.

    python benchmarks/training_step.py                                      # all of it, on a GPU
    python benchmarks/training_step.py --models ResNet-18 --frames 16 --batch 2 --rounds 9

A step is what training does with a batch of decoded clips: bytes to the device, forward, loss, backward, update (SGD).
Plain is fp32 without TF32, channels first, eager; fastest is bf16 by autocast, channels last, torch.compile. Every
round times one step of each, one after the other, so that whatever else the machine does falls on all alike; times
are medians, and ratios the medians of the rounds' ratios. On a CPU, where other work disturbs more, the time is that of
the processor, on one thread.
"""

import argparse
import ctypes
import statistics
import sys
import time

import torch

from dynamonet.engine.acceleration import accelerate, as_input, autocast
from dynamonet.engine.device import device_name, prepare_device
from dynamonet.engine.objective import loss_of
from dynamonet.engine.utilisation import mfu, peak_flops_per_s, training_flops_per_clip
from dynamonet.measure.speed import peak_mib, reset_peak_mib, synchronise
from dynamonet.models.card import Clip
from dynamonet.models.classifier import build_classifier
from dynamonet.recipe import Recipe

MODELS = {
    "ResNet-18": {"depth": 18},
    "ResNeXt-101": {"backbone": "resnext", "depth": 101},
    "STC-ResNeXt-101": {"backbone": "resnext", "depth": 101, "stc": True},
}
NETWORKS = {"backbone": {"prediction": False, "dmr_features": 0}, "DynamoNet": {}}
PATHS = {"plain": {}, "fastest": {"precision": "bf16", "channels_last": True, "compile": True}}
CLASSES, SIDE = 400, 112
WARM_UP = 2


class Step:
    """One network on one path, with its optimiser, and the times of its steps."""

    def __init__(self, options: dict, path: str, frames: int, batch: int, device: torch.device):
        self.device, self.frames, self.batch = device, frames, batch
        self.recipe = Recipe(steps=1, batch_size=max(2, batch), learning_rate=1e-4, deterministic=False, **PATHS[path])
        torch.manual_seed(0)
        self.model = build_classifier("dynamonet", CLASSES, options, Clip(frames=frames, crop=SIDE)).to(device).train()
        self.flops = training_flops_per_clip(self.model, (3, frames, SIDE, SIDE))
        accelerate(self.model, self.recipe)
        self.optimiser = torch.optim.SGD(self.model.parameters(), self.recipe.learning_rate, momentum=0.9)
        self.video = torch.randint(0, 256, (batch, 3, frames + 1, SIDE, SIDE), dtype=torch.uint8)
        self.labels = torch.randint(0, CLASSES, (batch,), device=device)
        self.times_s = []
        for _ in range(WARM_UP):
            self.run()
        self.optimiser.zero_grad(set_to_none=True)
        if device.type == "cpu" and sys.platform == "linux":
            ctypes.CDLL(None).malloc_trim(0)  # free memory counts as resident until it is given back
        before_mib = reset_peak_mib(device)
        self.run()
        self.added_mib = peak_mib(device) - before_mib

    def run(self) -> None:
        video = as_input(self.video, self.recipe, self.device)
        with autocast(self.recipe, self.device):
            output = self.model(video[:, :, : self.frames])
            loss = loss_of(output, video, self.labels, self.recipe, 0).total
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()

    def time(self) -> None:
        now = time.process_time if self.device.type == "cpu" else time.perf_counter
        synchronise(self.device)
        began = now()
        self.run()
        synchronise(self.device)
        self.times_s.append(now() - began)

    @property
    def seconds(self) -> float:
        return statistics.median(self.times_s)


def ratio(one: Step, other: Step) -> float:
    return statistics.median(a / b for a, b in zip(one.times_s, other.times_s, strict=True))


def rows(model: str, frames: int, arguments: argparse.Namespace, device: torch.device) -> list[str]:
    """Measure both networks on all paths; one row of the table each."""
    options = MODELS[model] | {"filter_size": arguments.filter_size}
    steps = {
        (path, network): Step(options | without, path, frames, arguments.batch, device)
        for path in arguments.paths
        for network, without in NETWORKS.items()
    }
    for _ in range(arguments.rounds):
        for step in steps.values():
            step.time()
    lines = []
    for (path, network), step in steps.items():
        clips_per_s = step.batch / step.seconds
        peak = peak_flops_per_s(device_name(device), step.recipe.precision)
        cells = [
            model,
            frames,
            path,
            network,
            f"{1e3 * step.seconds:.1f}",
            f"{1e3 * min(step.times_s):.1f}–{1e3 * max(step.times_s):.1f}",
            f"{clips_per_s:.2f}",
            f"{clips_per_s * step.flops / 1e12:.3f}",
            "–" if peak is None else f"{100 * mfu(clips_per_s, step.flops, peak, 1):.1f}",
            f"{step.added_mib:.0f}",
            f"{ratio(step, steps[path, 'backbone']):.2f}×",
            f"{ratio(steps[arguments.paths[0], network], step):.2f}×",
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--frames", nargs="+", type=int, default=[16, 64], help="T, frames per clip")
    parser.add_argument("--batch", type=int, help="clips per step; 16 on a GPU and 1 on a CPU unless given")
    parser.add_argument("--rounds", type=int, default=9, help="timed steps of each")
    parser.add_argument("--paths", nargs="+", choices=PATHS, help="both on a GPU and plain on a CPU unless given")
    parser.add_argument("--filter-size", type=int, default=5, help="k")
    arguments = parser.parse_args()
    device = prepare_device(1, deterministic=False)
    on_gpu = device.type == "cuda"
    arguments.batch = arguments.batch or (16 if on_gpu else 1)
    arguments.paths = arguments.paths or (list(PATHS) if on_gpu else ["plain"])
    print(
        f"{device_name(device)}, torch {torch.__version__}; batches of {arguments.batch} clips of {SIDE}², filters of "
        f"{arguments.filter_size} × {arguments.filter_size}, {arguments.rounds} rounds\n"
    )
    print(
        "| model | frames | path | network | step, ms | min–max | clips/s | TFLOP/s | MFU, % | added memory, MiB "
        f"| time over backbone | speed over {arguments.paths[0]} |\n|{'---|' * 12}"
    )
    for model in arguments.models:
        for frames in arguments.frames:
            print("\n".join(rows(model, frames, arguments, device)), flush=True)


if __name__ == "__main__":
    main()
