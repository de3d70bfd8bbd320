"""The adopt stage: the weights that a run starts from become its own, without training.

So that what is evaluated or searched with weights as they are leaves the same files as what was trained.
"""

import sys
from pathlib import Path

from dynamonet.engine.device import determinism, device_name, prepare_device
from dynamonet.engine.fit import build_for, load_manifest
from dynamonet.engine.initial import initialise
from dynamonet.engine.released import account
from dynamonet.engine.weights import save_weights
from dynamonet.records import Stopwatch, write_record
from dynamonet.spec import load_spec


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
    if spec.checkpoint is not None:
        print(account(init), file=sys.stderr)
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
