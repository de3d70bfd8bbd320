"""The adopt stage: the weights that a run starts from become its own, without training.

So that what is evaluated or searched with weights as they are leaves the same files as what was trained.
"""

import sys
from pathlib import Path

from torch import nn

from dynamonet.engine.device import determinism, device_name, prepare_device
from dynamonet.engine.fit import build_for, load_manifest
from dynamonet.engine.released import account, initialise_from_release
from dynamonet.engine.weights import initialise_from, load_exactly, read_weights, save_weights
from dynamonet.records import Stopwatch, write_record
from dynamonet.spec import RunSpec, load_spec


def adopt(spec_path: Path) -> None:
    """Write `model.safetensors` and `fit.json` of a run whose task is evaluate or retrieve.

    Raises UserError for a spec, manifest, parent or checkpoint that does not fit.
    """
    spec_path = Path(spec_path).absolute()
    spec = load_spec(spec_path)
    watch = Stopwatch()
    device = prepare_device(spec.threads, 0, spec.execution.deterministic, spec.execution.precision)
    manifest = load_manifest(spec_path, spec)
    model = build_for(spec, manifest)
    init = initialise(model.net, spec, spec_path)
    weights_sha256 = save_weights(model.net.state_dict(), spec_path.with_name("model.safetensors"))
    write_record(
        spec_path.with_name("fit.json"),
        "adopt",
        run=spec.run,
        spec_sha256=spec.sha256,
        metrics={"steps": 0},
        counts={"videos": 0, "classes": len(manifest.classes)},
        time=watch.read(),
        weights_sha256=weights_sha256,
        device=device_name(device),
        provenance={
            "manifest_sha256": manifest.sha256,
            "seed": spec.seed,
            "threads": spec.threads,
            "init": init,
            "determinism": determinism(spec.execution, device),
        },
    )


def initialise(net: nn.Module, spec: RunSpec, spec_path: Path) -> dict | None:
    """Load what the run starts from; returns its description for the record, None for weights drawn by the seed.

    A run that is evaluated as it is takes its parent's classifier too.
    """
    if spec.init is not None:
        parent = spec_path.parents[1] / spec.init
        if spec.task != "evaluate":
            return initialise_from(net, spec, parent)
        state, sha256 = read_weights(parent)
        load_exactly(net, state, str(parent / "model.safetensors"))
        return {"run": parent.name, "weights_sha256": sha256, "fresh": [], "left_out": []}
    if spec.checkpoint is not None:
        init = initialise_from_release(net, spec, spec_path.parents[2])
        print(account(init), file=sys.stderr)
        return init
    return None
