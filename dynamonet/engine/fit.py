"""The pretrain and train stages: from a spec, a manifest and perhaps a parent to weights and their record."""

import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from dynamonet.code_files import note_code
from dynamonet.data.clips import ClipShape, TrainClips, class_indices
from dynamonet.data.crop import training_box
from dynamonet.data.manifest import Manifest
from dynamonet.engine import interrupt
from dynamonet.engine.checkpoint import remove_checkpoints
from dynamonet.engine.device import determinism, device_name, prepare_device, seed_torch
from dynamonet.engine.distribution import World
from dynamonet.engine.initial import initialise
from dynamonet.engine.released import account
from dynamonet.engine.tracking import check_trackers
from dynamonet.engine.trainer import Trainer
from dynamonet.engine.update import Update
from dynamonet.engine.weights import save_weights
from dynamonet.errors import UserError
from dynamonet.models.catalogue import model_module
from dynamonet.models.classifier import Classifier, build_classifier
from dynamonet.records import Stopwatch, write_record
from dynamonet.spec import DatasetSpec, FlowSpec, RunSpec, load_spec, read_spec


def clip_shape(spec: RunSpec) -> ClipShape:
    clip = spec.clip
    return ClipShape(clip.frames, clip.stride, clip.crop, spec.extra_frames, clip.short_videos)


def load_manifest(spec_path: Path, spec: RunSpec) -> Manifest:
    """The manifest of the run's data set. Raises UserError if it was prepared otherwise than the study says."""
    path = spec_path.parents[2] / "manifests" / f"{spec.dataset}.parquet"
    manifest = Manifest.load(path)
    wanted = read_spec(DatasetSpec, path.with_suffix(".spec.json"))
    if (manifest.layout, manifest.root) != (wanted.layout, Path(wanted.root).resolve()):
        raise UserError(
            f"{path} was prepared from {manifest.root} ({manifest.layout}), the study now says {wanted.root} "
            f"({wanted.layout}): remove it and run again"
        )
    if manifest.copies != wanted.copies:
        raise UserError(f"{path} was prepared with other copies than the study now says: remove it and run again")
    return manifest


def flow_root(spec_path: Path, spec: RunSpec) -> Path | None:
    """The folder of the stored optical flow that the run's model takes; None if it takes none.

    Raises UserError if the study has written no such folder down.
    """
    if not model_module(spec.build).CARD.stored_flow:
        return None
    return Path(read_spec(FlowSpec, spec_path.parents[2] / "flow" / f"{spec.dataset}.spec.json").flow_root)


def build_for(spec: RunSpec, manifest: Manifest) -> Classifier:
    """The run's model with the weights that its seed draws."""
    seed_torch(spec.seed, "weights")
    model = build_classifier(spec.build, max(1, len(manifest.classes)), spec.options, spec.clip)
    note_code()  # the model's files, as they were when it was built
    return model


def fit(spec_path: Path, workers: int = 0, trackers: Sequence[str] = (), reader: str = "pyav") -> None:
    """Run the fit that `spec.json` describes and write its weights, log and record beside it.

    workers: data-loading processes, 0 to decode in this one. trackers: where log.jsonl is shown. Neither is part of the
    result. Raises UserError for a spec, manifest or parent that does not fit and for a tracker that is not installed,
    VideoError for a video that breaks, and Interrupted, with a checkpoint in place, where a signal has asked for it.
    """
    spec_path = Path(spec_path).absolute()
    spec = load_spec(spec_path)
    watch = Stopwatch()
    world = World.of(os.environ)
    recipe = spec.recipe
    if recipe.batch_size % (world.size * recipe.accumulation):
        parts = f" in {recipe.accumulation} parts each" if recipe.accumulation > 1 else ""
        raise world.once(
            UserError(
                f"{spec.run}: {world.size} processes cannot share a batch_size of {recipe.batch_size}{parts}: start a "
                "number of them that divides it"
            )
        )
    try:
        check_trackers(trackers)
    except UserError as error:
        raise world.once(error) from None
    device = prepare_device(spec.threads, world.local_rank, recipe.deterministic, recipe.precision)
    # On its own, a process stops at once while it builds; one of several would leave the others waiting.
    with world.joined(device), nullcontext() if world.size == 1 else interrupt.deferred():
        manifest = load_manifest(spec_path, spec)
        rows = manifest.select(spec.split, "train", spec.label_fraction, spec.seed)
        if spec.task == "train" and not manifest.classes:
            raise UserError(f"{spec.run}: data set {spec.dataset} has no labels, so it can only be pretrained on")
        model = build_for(spec, manifest)
        init = initialise(model.net, spec, spec_path)
        if spec.checkpoint is not None and world.first:
            print(account(init), file=sys.stderr)
        origin = {"spec": spec.sha256, "manifest": manifest.sha256, "init": init and init["weights_sha256"]}
        update = Update(spec, model.to(device), world, len(manifest.classes))
        trainer = Trainer(spec, update, world, spec_path.parent, origin, watch)
        shape = clip_shape(spec)
        clips = TrainClips(
            rows,
            manifest.files_root,
            shape,
            spec.seed,
            box=training_box(recipe, shape.crop),
            flip=recipe.flip,
            never_flipped=class_indices(recipe.flip_except, manifest.classes, "flip_except of the recipe"),
            flow_root=flow_root(spec_path, spec),
            reader=reader,
            device=device,
        )
        with interrupt.deferred():
            trainer.run(clips, workers, trackers)
            if world.first:
                _write_result(trainer, manifest, {"videos": len(rows), "classes": len(manifest.classes)}, init)


def _write_result(trainer: Trainer, manifest: Manifest, counts: dict, init: dict | None) -> None:
    spec, run_dir, device = trainer.spec, trainer.run_dir, trainer.update.device
    weights_sha256 = save_weights(trainer.update.weights(), run_dir / "model.safetensors")
    write_record(
        run_dir / "fit.json",
        spec.task,
        run=spec.run,
        spec_sha256=spec.sha256,
        metrics={"steps": trainer.step, "final_loss": trainer.log.last["loss"]},
        counts=counts,
        time={**trainer.watch.read(), **trainer.speed()},
        weights_sha256=weights_sha256,
        device=device_name(device),
        provenance={
            "manifest_sha256": manifest.sha256,
            "seed": spec.seed,
            "threads": spec.threads,
            "init": init,
            "determinism": determinism(spec.recipe, device),
            **trainer.world.provenance(trainer.update.model),
            **trainer.attempts.provenance(trainer.step),
        },
    )
    remove_checkpoints(trainer.folder)
