"""The training loop, on one process or several: resumable at any instant, and stopped by a signal between two steps."""

import json
import math
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from dynamonet.data.clips import TrainClips, batches
from dynamonet.engine import interrupt
from dynamonet.engine.attempts import Attempts
from dynamonet.engine.checkpoint import load_checkpoint, save_checkpoint
from dynamonet.engine.device import seed_torch
from dynamonet.engine.distribution import World
from dynamonet.engine.objective import VALUES, Objective
from dynamonet.errors import UserError
from dynamonet.files import write_text
from dynamonet.models.classifier import Classifier
from dynamonet.recipe import Recipe
from dynamonet.records import Stopwatch
from dynamonet.spec import RunSpec


def learning_rate(step: int, recipe: Recipe) -> float:
    """Linear warm-up, then a half cosine to zero. A function of the step alone, so that a restart changes nothing."""
    if step < recipe.warmup_steps:
        return recipe.learning_rate * (step + 1) / recipe.warmup_steps
    done = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


class Trainer:
    """The state of a fit: model, optimiser and step. Everything else is a function of the spec and the step."""

    def __init__(self, spec: RunSpec, model: Classifier, world: World, run_dir: Path, origin: dict, watch: Stopwatch):
        self.spec, self.model, self.world, self.origin, self.watch = spec, model, world, origin, watch
        self.device = next(model.parameters()).device
        self.run_dir, self.folder, self.log = run_dir, run_dir / "checkpoints", run_dir / "log.jsonl"
        self.attempts = Attempts(self.folder)
        recipe = spec.recipe
        if recipe.optimiser == "sgd":
            self.optimiser = torch.optim.SGD(
                model.parameters(), recipe.learning_rate, momentum=0.9, weight_decay=recipe.weight_decay, nesterov=True
            )
        else:
            self.optimiser = torch.optim.AdamW(
                model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay
            )
        self.step, self.last = 0, {}
        self.unlogged: list[Tensor] = []  # VALUES of each step since the last line of the log
        self.wait_s, self.busy_s = 0.0, 0.0
        self._resume()
        self.objective = world.shared(Objective(spec, model))

    def _resume(self) -> None:
        """Go on from the checkpoint that rank 0 finds, if there is one that fits."""
        state = load_checkpoint(self.folder) if self.world.first else None
        if state is not None and state["origin"] != self.origin:
            print(
                f"{self.folder} was left by a fit on other data or from other weights: starting anew", file=sys.stderr
            )
            self.attempts.forget()
            state = None
        state = self.world.from_first(state)
        if state is not None:
            self._load(state)
        if self.world.first:
            # The log may be ahead of the checkpoint, its last line cut off: those steps are done, and logged, again.
            lines = self.log.read_text().splitlines(keepends=True) if self.log.is_file() else []
            whole = [line for line in lines if line.endswith("\n")]
            write_text(self.log, "".join(line for line in whole if json.loads(line)["step"] <= self.step))

    def _load(self, state: dict) -> None:
        if state["world_size"] != self.world.size:
            raise self.world.once(
                UserError(
                    f"{self.folder} was left by a fit with {state['world_size']} processes, this one has "
                    f"{self.world.size}: start that number again, or remove it to start anew"
                )
            )
        self.model.net.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.last, self.unlogged = state["step"], state["last"], state["unlogged"]
        self.wait_s, self.busy_s = state["wait_s"], state["busy_s"]
        self.watch.go_on_from(state["time"])

    def save(self) -> None:
        state = {
            "origin": self.origin,
            "world_size": self.world.size,
            "step": self.step,
            "last": self.last,
            "unlogged": self.unlogged,
            "time": self.watch.read(),
            "wait_s": self.wait_s,
            "busy_s": self.busy_s,
            "model": self.model.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        save_checkpoint(self.folder, self.step, state)

    def run(self, clips: TrainClips, workers: int) -> None:
        """Do the steps that are left. Raises Interrupted after the first of them by whose end a signal has come."""
        recipe, world = self.spec.recipe, self.world
        if world.first:
            self.attempts.begin(self.step)
        self.objective.train()
        with interrupt.hidden_from_children():
            batches = iter(self._loader(clips, workers))
        with world.progress(self.spec.run) as report:
            waiting_since = time.perf_counter()
            for batch in batches:
                got = time.perf_counter()
                stop = self._tell(self._update(batch))
                done = time.perf_counter()
                self.wait_s += got - waiting_since
                self.busy_s += done - got
                waiting_since = done
                ended = self.step == recipe.steps
                if world.first:
                    if self.step % recipe.log_every == 0 or ended:
                        self._write_log()
                    if (self.step % recipe.checkpoint_every == 0 or stop) and not ended:
                        self.save()
                report(self.step, recipe.steps, f"loss {self.last.get('loss', float('nan')):.3f}")
                if stop and not ended:
                    self._stop(stop)

    def _loader(self, clips: TrainClips, workers: int) -> DataLoader:
        world, recipe = self.world, self.spec.recipe
        whole = batches(len(clips), recipe.batch_size, self.spec.seed, self.step, recipe.steps)
        shares = (batch[world.rank :: world.size] for batch in whole)
        return DataLoader(
            clips,
            batch_sampler=shares,
            num_workers=workers,
            pin_memory=self.device.type == "cuda",
            worker_init_fn=interrupt.heed_parent,
        )

    def _update(self, batch: dict) -> Tensor:
        """One step on this process's share of a batch; returns its VALUES."""
        spec, recipe, world = self.spec, self.spec.recipe, self.world
        video = batch["video"].to(self.device, non_blocking=True).float() / 255
        labels = None if spec.task == "pretrain" else batch["class_index"].to(self.device, non_blocking=True)
        # Dropout's draws are a function of the step, not of the steps before it.
        seed_torch(spec.seed, "step", self.step, *([] if world.first else [world.rank]))
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.step, recipe)
        loss, values = self.objective(video, labels)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if recipe.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), recipe.gradient_clip)
        self.optimiser.step()
        return values.cpu()

    def _tell(self, values: Tensor) -> str | None:
        """End a step: keep the mean of all processes' VALUES; returns the name of a signal that one has received.

        Raises UserError for a loss that is not finite: nothing of the step is kept.
        """
        signals = torch.tensor([float(interrupt.received() is one) for one in interrupt.SIGNALS])
        told = self.world.mean(torch.cat([values, signals]))
        values, signals = told[: len(VALUES)], told[len(VALUES) :]
        if not torch.isfinite(values[0]):
            raise self.world.once(
                UserError(f"{self.spec.run}: the loss is {values[0].item()} at step {self.step}; lower learning_rate")
            )
        self.unlogged.append(values)
        self.step += 1
        return next((one.name for one, count in zip(interrupt.SIGNALS, signals, strict=True) if count), None)

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

    def _write_log(self) -> None:
        """Add a line with the means over the steps since the last one."""
        means = torch.stack(self.unlogged).mean(0).tolist()
        self.unlogged = []
        self.last = {
            "step": self.step,
            "steps": self.spec.recipe.steps,
            **{name: None if math.isnan(mean) else round(mean, 6) for name, mean in zip(VALUES, means, strict=True)},
            "learning_rate": learning_rate(self.step - 1, self.spec.recipe),
        }
        with self.log.open("a") as file:
            file.write(json.dumps({**self.last, **self.speed()}) + "\n")

    def speed(self) -> dict[str, float]:
        """Training throughput and the share of time spent waiting for data, over the steps that are kept."""
        total = max(self.wait_s + self.busy_s, 1e-9)
        return {
            "clips_per_s": round(self.step * self.spec.recipe.batch_size / total, 2),
            "data_wait_share": round(self.wait_s / total, 4),
        }
