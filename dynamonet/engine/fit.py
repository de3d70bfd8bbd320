"""Pretraining and training: one loop, resumable at any instant."""

import json
import math
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from dynamonet.data.clips import ClipShape, TrainClips, batches
from dynamonet.data.manifest import Manifest
from dynamonet.engine.checkpoint import load_checkpoint, remove_checkpoints, save_checkpoint
from dynamonet.engine.device import device_name, prepare_device, seed_torch
from dynamonet.engine.objective import loss_of
from dynamonet.engine.weights import initialise_from, save_weights
from dynamonet.errors import UserError
from dynamonet.files import write_text
from dynamonet.models.classifier import Classifier, build_classifier
from dynamonet.progress import progress
from dynamonet.records import Stopwatch, write_record
from dynamonet.spec import DatasetSpec, Recipe, RunSpec, load_spec, read_spec

VALUES = ("loss", "loss_classification", "loss_prediction", "train_top1")
"""What every step is logged by."""


def clip_shape(spec: RunSpec) -> ClipShape:
    return ClipShape(spec.clip.frames, spec.clip.stride, spec.clip.crop, spec.extra_frames)


def load_manifest(spec_path: Path, spec: RunSpec) -> Manifest:
    """The manifest of the run's data set. Raises UserError if it was prepared from another folder or layout."""
    path = spec_path.parents[2] / "manifests" / f"{spec.dataset}.parquet"
    manifest = Manifest.load(path)
    wanted = read_spec(DatasetSpec, path.with_suffix(".spec.json"))
    if (manifest.layout, manifest.root) != (wanted.layout, Path(wanted.root).resolve()):
        raise UserError(
            f"{path} was prepared from {manifest.root} ({manifest.layout}), the study now says {wanted.root} "
            f"({wanted.layout}): remove it and run again"
        )
    return manifest


def build_for(spec: RunSpec, manifest: Manifest) -> Classifier:
    """The run's model with the weights that its seed draws."""
    seed_torch(spec.seed, "weights")
    return build_classifier(spec.build, max(1, len(manifest.classes)), spec.options, spec.clip)


def learning_rate(step: int, recipe: Recipe) -> float:
    """Linear warm-up, then a half cosine to zero. A function of the step alone, so that a restart changes nothing."""
    if step < recipe.warmup_steps:
        return recipe.learning_rate * (step + 1) / recipe.warmup_steps
    done = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def fit(spec_path: Path, workers: int = 0) -> None:
    """Run the fit that `spec.json` describes and write its weights, log and record beside it.

    workers: data-loading processes, 0 to decode in this one; not part of the result. Raises UserError for
    a spec, manifest or parent that does not fit, and VideoError for a video that breaks.
    """
    spec_path = Path(spec_path).absolute()
    spec = load_spec(spec_path)
    watch = Stopwatch()
    run_dir = spec_path.parent
    device = prepare_device(spec.threads)
    manifest = load_manifest(spec_path, spec)
    rows = manifest.select(spec.split, "train", spec.label_fraction, spec.seed)
    if spec.task == "train" and not manifest.classes:
        raise UserError(f"{spec.run}: data set {spec.dataset} has no labels, so it can only be pretrained on")
    model = build_for(spec, manifest)
    init = None if spec.init is None else initialise_from(model.net, spec, run_dir.parent / spec.init)
    clips = TrainClips(rows, manifest.root, clip_shape(spec), spec.seed, spec.recipe.crop_scales, spec.recipe.flip)
    origin = {"spec": spec.sha256, "manifest": manifest.sha256, "init": init and init["weights_sha256"]}
    trainer = Trainer(spec, model.to(device), device, run_dir, origin)
    loader = DataLoader(
        clips,
        batch_sampler=batches(len(clips), spec.recipe.batch_size, spec.seed, trainer.step, spec.recipe.steps),
        num_workers=workers,
        pin_memory=device.type == "cuda",
    )
    with progress(spec.run) as report:
        trainer.run(loader, report)
    weights_sha256 = save_weights(model.net, run_dir / "model.safetensors")
    write_record(
        run_dir / "fit.json",
        spec.task,
        run=spec.run,
        spec_sha256=spec.sha256,
        metrics={"steps": trainer.step, "final_loss": trainer.last["loss"]},
        counts={"videos": len(rows), "classes": len(manifest.classes)},
        time={**watch.read(), **trainer.speed()},
        weights_sha256=weights_sha256,
        device=device_name(device),
        provenance={"manifest_sha256": manifest.sha256, "seed": spec.seed, "threads": spec.threads, "init": init},
    )
    remove_checkpoints(run_dir / "checkpoints")


class Trainer:
    """The state of a fit: model, optimiser and step. Everything else is a function of the spec and the step."""

    def __init__(self, spec: RunSpec, model: nn.Module, device: torch.device, run_dir: Path, origin: dict):
        self.spec, self.model, self.device, self.origin = spec, model, device, origin
        self.folder, self.log = run_dir / "checkpoints", run_dir / "log.jsonl"
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
        self.wait_s, self.busy_s, self.timed_steps = 0.0, 0.0, 0
        self._resume()

    def _resume(self) -> None:
        state = load_checkpoint(self.folder, self.device)
        if state is not None and state["origin"] != self.origin:
            print(
                f"{self.folder} was left by a fit on other data or from other weights: starting anew", file=sys.stderr
            )
            state = None
        if state is None:
            write_text(self.log, "")
            return
        self.model.net.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.last, self.unlogged = state["step"], state["last"], state["unlogged"]
        # The log may be ahead of the checkpoint, and its last line cut off: those steps are done, and logged, again.
        lines = [line for line in self.log.read_text().splitlines(keepends=True) if line.endswith("\n")]
        write_text(self.log, "".join(line for line in lines if json.loads(line)["step"] <= self.step))

    def save(self) -> None:
        state = {
            "origin": self.origin,
            "step": self.step,
            "last": self.last,
            "unlogged": self.unlogged,
            "model": self.model.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        save_checkpoint(self.folder, self.step, state)

    def run(self, loader: DataLoader, report) -> None:
        recipe = self.spec.recipe
        self.model.train()
        waiting_since = time.perf_counter()
        for batch in loader:
            got = time.perf_counter()
            self.unlogged.append(self._update(batch))
            self.step += 1
            done = time.perf_counter()
            self.wait_s += got - waiting_since
            self.busy_s += done - got
            self.timed_steps += 1
            waiting_since = done
            if self.step % recipe.log_every == 0 or self.step == recipe.steps:
                self._write_log()
            if self.step % recipe.checkpoint_every == 0 and self.step < recipe.steps:
                self.save()
            report(self.step, recipe.steps, f"loss {self.last.get('loss', float('nan')):.3f}")

    def _update(self, batch: dict) -> Tensor:
        """One step; returns its VALUES, not a number where there is none."""
        spec, recipe = self.spec, self.spec.recipe
        video = batch["video"].to(self.device, non_blocking=True).float() / 255
        labels = None if spec.task == "pretrain" else batch["class_index"].to(self.device, non_blocking=True)
        # Dropout's draws are a function of the step, not of the steps before it.
        seed_torch(spec.seed, "step", self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.step, recipe)
        output = self.model(video[:, :, : spec.clip.frames])
        if labels is None and output.predicted_frames is None:
            raise UserError(f"{spec.run}: model {spec.model!r} predicts no frames, so it cannot be pretrained")
        loss = loss_of(output, video, labels, recipe)
        if not torch.isfinite(loss.total):
            raise UserError(f"{spec.run}: the loss is {loss.total.item()} at step {self.step}; lower learning_rate")
        self.optimiser.zero_grad(set_to_none=True)
        loss.total.backward()
        if recipe.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), recipe.gradient_clip)
        self.optimiser.step()
        top1 = None if labels is None else (output.logits.argmax(1) == labels).float().mean()
        values = (loss.total, loss.classification, loss.prediction, top1)
        return torch.stack([loss.total.new_tensor(math.nan) if v is None else v.detach() for v in values]).cpu()

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
        """Training throughput and the share of time spent waiting for data, since this process began."""
        total = max(self.wait_s + self.busy_s, 1e-9)
        return {
            "clips_per_s": round(self.timed_steps * self.spec.recipe.batch_size / total, 2),
            "data_wait_share": round(self.wait_s / total, 4),
        }
