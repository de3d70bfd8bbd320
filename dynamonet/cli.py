"""`dynamonet <stage>`: every stage by hand, exactly as Snakemake runs it."""

import argparse
import os
import sys
from pathlib import Path

from dynamonet.engine import interrupt, tracking
from dynamonet.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    """Run one stage. Returns 0, or 2 after one sentence on stderr if the user has something to mend."""
    options = _parser().parse_args(arguments)
    try:
        options.stage(options)
    except UserError as error:
        # One that a loader process raised comes with the traceback of that process before it.
        print(f"error: {str(error).splitlines()[-1]}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dynamonet", description=__doc__)
    stages = parser.add_subparsers(required=True, metavar="stage")

    def stage(function, name: str, spec: str) -> argparse.ArgumentParser:
        stage = stages.add_parser(name, help=function.__doc__)
        stage.set_defaults(stage=function)
        stage.add_argument("--spec", type=Path, required=True, metavar="FILE", help=spec)
        return stage

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    for function, name, spec in (
        (_motion, "motion", "results/<study>/motion.spec.json"),
        (_prepare, "prepare", "results/<study>/manifests/<dataset>.spec.json"),
    ):
        stage(function, name, spec).add_argument("--workers", type=_at_least(1), default=cores, help="processes")
    for function, name in ((_fit, "pretrain"), (_fit, "train"), (_evaluate, "evaluate"), (_retrieve, "retrieve")):
        arguments = stage(function, name, "results/<study>/runs/<run>/spec.json")
        arguments.add_argument(
            "--workers", type=_at_least(0), default=0, help="processes that decode video; 0: decode in this one"
        )
        arguments.add_argument(
            "--reader", choices=("pyav", "torchcodec"), default="pyav", help="what decodes prepared copies"
        )
        if function is _fit:
            arguments.add_argument(
                "--trackers",
                type=lambda names: () if names == "none" else tuple(names.split(",")),
                default=("tensorboard",),
                metavar="NAME,...",
                help=f"where log.jsonl is shown: {', '.join(tracking.NAMES)}, or none; default: tensorboard",
            )
    stage(_adopt, "adopt", "results/<study>/runs/<run>/spec.json")
    stage(_download, "download", "results/<study>/checkpoints/<checkpoint>.spec.json")
    stage(_flow, "flow", "results/<study>/flow/<dataset>.spec.json").add_argument(
        "--raft", choices=("raft_small", "raft_large"), default="raft_large", help="torchvision's RAFT: which variant"
    )
    stage(_measure, "measure", "results/<study>/measure/<model>.spec.json")
    stage(_report, "report", "results/<study>/study.json")
    return parser


def _at_least(least: int):
    def number(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is less than {least}")
        return int(text)

    return number


# Each stage imports what it needs: starting torch costs two seconds that most stages need not spend.


def _motion(options) -> None:
    """Generate the embedded motion set."""
    from dynamonet.data.motion import MotionConfig
    from dynamonet.data.motion_layouts import generate
    from dynamonet.progress import progress
    from dynamonet.spec import read_spec
    from dynamonet.study_schema import motion_root

    config = read_spec(MotionConfig, options.spec)
    with progress("embedded motion set") as report:
        generate(config, motion_root(config), workers=options.workers, progress=report)


def _prepare(options) -> None:
    """Join a data set's lists with its files, decode every video, write the manifest."""
    from dynamonet.data.manifest import Manifest, prepare
    from dynamonet.progress import progress
    from dynamonet.records import Stopwatch, write_record
    from dynamonet.spec import DatasetSpec, read_spec

    spec = read_spec(DatasetSpec, options.spec)
    out = options.spec.with_name(f"{spec.dataset}.parquet")
    watch = Stopwatch()
    with progress(f"prepare {spec.dataset}") as report:
        counts = prepare(
            spec.layout,
            Path(spec.root),
            out,
            max_unusable=spec.max_unusable,
            workers=options.workers,
            progress=report,
        )
    write_record(
        out.with_suffix(".json"),
        "prepare",
        device="cpu",
        dataset=spec.dataset,
        root=spec.root,
        manifest_sha256=counts.pop("manifest_sha256"),
        classes=list(Manifest.load(out).classes),
        counts=counts,
        time=watch.read(),
    )


def _flow(options) -> None:
    """Compute the optical flow of a prepared data set and store it, for models that take stored flow."""
    from dynamonet.engine.flow import store_flow

    store_flow(options.spec, options.raft)


def _fit(options) -> None:
    """Pretrain or train a run, or go on where it was stopped."""
    from dynamonet.engine.fit import fit

    fit(options.spec, options.workers, options.trackers, options.reader)


def _adopt(options) -> None:
    """Take the weights that a run starts from as they are, where nothing is trained."""
    from dynamonet.engine.adopt import adopt

    adopt(options.spec)


def _download(options) -> None:
    """Get a file of released weights and verify it."""
    from dynamonet.engine.download import download

    download(options.spec)


def _evaluate(options) -> None:
    """Score the test videos of a trained run."""
    from dynamonet.engine.evaluate import evaluate

    evaluate(options.spec, options.workers, options.reader)


def _retrieve(options) -> None:
    """Find the nearest training videos of each test video, by the features of a run's weights."""
    from dynamonet.engine.retrieve import retrieve

    retrieve(options.spec, options.workers, options.reader)


def _measure(options) -> None:
    """Count and time a model."""
    from dynamonet.measure.stage import measure

    measure(options.spec)


def _report(options) -> None:
    """Write tables, figures and report.html from the records of a study."""
    from dynamonet.report import write_report

    write_report(options.spec.parent)


def run() -> None:
    """Run one stage as a process of its own, which SIGTERM and SIGUSR2 end with one sentence and status 75."""
    try:
        interrupt.install()
        status = main()
    except interrupt.Interrupted as stop:
        print(stop, file=sys.stderr)
        status = interrupt.EXIT_STATUS
    finally:
        interrupt.ignore()
    sys.exit(status)


if __name__ == "__main__":
    run()
