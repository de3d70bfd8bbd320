"""The training loop, on one process or several: resumable at any instant, and stopped by a signal between two steps."""

import math
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from dynamonet.data.clips import TrainClips, batches
from dynamonet.data.device_batch import collate
from dynamonet.engine import interrupt
from dynamonet.engine.attempts import Attempts
from dynamonet.engine.checkpoint import load_checkpoint, save_checkpoint
from dynamonet.engine.device import nondeterministic_operator
from dynamonet.engine.distribution import World
from dynamonet.engine.memory import is_out_of_memory
from dynamonet.engine.objective import VALUES
from dynamonet.engine.tracking import Trackers, open_trackers
from dynamonet.engine.training_log import TrainingLog
from dynamonet.engine.trouble import not_finite
from dynamonet.engine.update import Update
from dynamonet.engine.utilisation import mfu, peak_flops_per_s, training_flops_per_clip
from dynamonet.errors import UserError
from dynamonet.models.catalogue import model_module
from dynamonet.recipe import ALL
from dynamonet.records import Stopwatch
from dynamonet.spec import RunSpec

ONE_VALUE = "Expected more than 1 value per channel when training"
"""What torch says where batch normalisation has nothing to take a deviation of."""


class Trainer:
    """A fit under way: the state of its updates, its log and its step. All else follows from the spec and the step."""

    def __init__(self, spec: RunSpec, update: Update, world: World, run_dir: Path, origin: dict, watch: Stopwatch):
        self.spec, self.update, self.world, self.origin, self.watch = spec, update, world, origin, watch
        self.run_dir, self.folder = run_dir, run_dir / "checkpoints"
        self.attempts = Attempts(self.folder)
        self.log = TrainingLog(run_dir / "log.jsonl")
        self.step = 0
        self._resume()
        update.prepare()

    def _resume(self) -> None:
        """Go on from the checkpoint that rank 0 finds, if there is one that fits."""
        state = self.world.from_first(self._found() if self.world.first else None)
        if isinstance(state, UserError):
            raise self.world.once(state)
        if state is not None:
            self._load(state)
        problem = self.world.from_first(self._open_log() if self.world.first else None)
        if problem is not None:
            raise self.world.once(problem)

    def _open_log(self) -> UserError | None:
        try:
            self.log.go_on_from(self.step)
        except UserError as error:
            return error

    def _found(self) -> dict | UserError | None:
        """The checkpoint to go on from, or what all processes are to raise."""
        try:
            state = load_checkpoint(self.folder, like=self.state_dict())
        except UserError as error:
            return error
        if state is None or state["origin"] == self.origin:
            return state
        print(f"{self.folder} was left by a fit on other data or from other weights: starting anew", file=sys.stderr)
        self.attempts.forget()
        return None

    def _load(self, state: dict) -> None:
        if state["world_size"] != self.world.size:
            raise self.world.once(
                UserError(
                    f"{self.folder} was left by a fit with {state['world_size']} processes, this one has "
                    f"{self.world.size}: start that number again, or remove it to start anew"
                )
            )
        self.update.load_state_dict(state)
        self.log.load_state_dict(state["log"])
        self.step = state["step"]
        self.watch.go_on_from(state["time"])

    def state_dict(self) -> dict:
        return {
            "origin": self.origin,
            "world_size": self.world.size,
            "step": self.step,
            "time": self.watch.read(),
            "log": self.log.state_dict(),
            **self.update.state_dict(),
        }

    def run(self, clips: TrainClips, workers: int, trackers: Sequence[str] = ()) -> None:
        """Do the steps that are left; `trackers` show the log.

        Raises Interrupted after the first of them by whose end a signal has come.
        """
        recipe, world = self.spec.recipe, self.world
        with interrupt.hidden_from_children():
            batches = iter(self._loader(clips, workers))
        if world.first:
            self.attempts.begin(self.step)
        with self._trackers(trackers) as tracked, world.progress(self.spec.run) as report:
            waiting_since = time.perf_counter()
            for batch in batches:
                got = time.perf_counter()
                values, stop = self._step(batch, clips)
                done = time.perf_counter()
                self.log.add(values, got - waiting_since, done - got)
                ended = self.step == recipe.steps
                if self.step % recipe.log_every == 0 or ended:
                    self.log.line(self.step, recipe.steps, learning_rate=self.update.learning_rate)
                    if world.first:
                        tracked.log(self.log.write(**self.speed()))
                if world.first and (self.step % recipe.checkpoint_every == 0 or stop) and not ended:
                    save_checkpoint(self.folder, self.step, self.state_dict())
                report(self.step, recipe.steps, f"loss {self.log.last['loss']:.3f}" if self.log.last else "")
                if stop and not ended:
                    self._stop(stop)
                waiting_since = time.perf_counter()

    def _trackers(self, names: Sequence[str]) -> AbstractContextManager[Trackers]:
        spec_dict = self.spec.model_dump(mode="json")
        return closing(open_trackers(names if self.world.first else (), self.run_dir, spec_dict, self.step))

    def _loader(self, clips: TrainClips, workers: int) -> DataLoader:
        world, recipe = self.world, self.spec.recipe
        whole = batches(len(clips), recipe.batch_size, self.spec.seed, self.step, recipe.steps)
        shares = (batch[world.rank :: world.size] for batch in whole)
        return DataLoader(
            clips,
            batch_sampler=shares,
            num_workers=workers,
            collate_fn=collate,
            pin_memory=self.update.device.type == "cuda",
            worker_init_fn=interrupt.heed_parent,
        )

    def _step(self, batch: dict, clips: TrainClips) -> tuple[Tensor, str | None]:
        """One step; returns the mean of all processes' VALUES, and the name of a signal that one of them has received.

        Raises UserError for a loss or gradient that is not finite, before the weights are changed by it, for a batch
        that does not fit into memory, and for an operator that is not deterministic where the recipe wants it to be.
        """
        own, norm = self._guarded(batch, self.update.gradients, batch, self.step)
        signals = torch.tensor([float(interrupt.received() is one) for one in interrupt.SIGNALS])
        told = self.world.mean(torch.cat([own, signals]))
        values, signals = told[: len(VALUES)], told[len(VALUES) :]
        loss = values[0].item()
        if not (math.isfinite(loss) and (norm.isfinite() or self.update.scaler.is_enabled())):
            videos = self.world.gathered([clips.rows.ids[row] for row in batch["row"].tolist()])
            kept = None
            if self.world.first:
                kept = not_finite(self.folder, self.state_dict(), loss, norm.item(), videos)
            self.world.meet()  # a launcher kills the others when one has left, and rank 0 may still be writing
            raise self.world.once(kept)
        self._guarded(batch, self.update.apply, self.step, loss)
        self.step += 1
        return values, next((one.name for one, count in zip(interrupt.SIGNALS, signals, strict=True) if count), None)

    def _guarded(self, batch: dict, function: Callable, *arguments):
        """What a part of the step returns; a sentence in the place of what torch raises, where there is one."""
        try:
            return function(*arguments)
        except (RuntimeError, MemoryError, ValueError) as error:
            if ONE_VALUE in str(error):
                raise self.world.once(self._too_few_clips()) from error
            if (refused := nondeterministic_operator(error)) is not None:
                raise refused from error
            if not is_out_of_memory(error):
                raise
        # Here, and not above: the error's traceback holds the tensors of the step.
        raise UserError(self.update.memory_advice(batch, self.step))

    def _too_few_clips(self) -> UserError:
        recipe, processes = self.spec.recipe, self.world.size
        return UserError(
            f"{self.spec.run}: batch normalisation cannot train on 1 clip at once where the network has one value of "
            f"it per channel: raise batch_size ({recipe.batch_size}), or lower "
            f"accumulation ({recipe.accumulation}) or the number of processes ({processes})"
        )

    def _stop(self, signal_name: str) -> None:
        if self.world.first:
            self.attempts.stop(self.step, signal_name)
        self.world.meet()  # a launcher kills the others when one has left, and rank 0 may still be writing
        raise self.world.once(
            interrupt.Interrupted(
                f"{self.spec.run}: stopped by {signal_name} at step {self.step} of {self.spec.recipe.steps}; the same "
                "command goes on from there"
            )
        )

    def speed(self) -> dict[str, float]:
        """Throughput, share of time spent waiting for data and, on a GPU, its peak memory and utilisation."""
        speed = self.log.speed(self.step * self.spec.recipe.batch_size)
        if self.update.device.type == "cuda":
            speed["gpu_memory_mib"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
        if self._peak is not None:
            speed["mfu"] = round(mfu(speed["clips_per_s"], self._flops_per_clip, self._peak, self.world.size), 4)
        return speed

    @cached_property
    def _peak(self) -> float | None:
        """FLOP/s that a GPU could do; None where that is not known, and where parts of the network are frozen."""
        if self.update.device.type != "cuda" or self.spec.recipe.trainable != (ALL,):
            return None
        return peak_flops_per_s(torch.cuda.get_device_name(self.update.device), self.spec.recipe.precision)

    @cached_property
    def _flops_per_clip(self) -> float:
        clip, channels = self.spec.clip, model_module(self.spec.build).CARD.channels
        return training_flops_per_clip(self.update.model.net, (channels, clip.frames, clip.crop, clip.crop))
