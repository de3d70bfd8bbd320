"""`dynamonet <stage>`: every stage by hand, exactly as Snakemake runs it."""

import argparse
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from dynamonet.engine import interrupt, tracking
from dynamonet.errors import UserError
from dynamonet.planning.commands import add_commands


def main(arguments: list[str] | None = None) -> int:
    """Run one stage. Returns 0, or 2 after one sentence on stderr if the user has something to mend.

    Of the doctor, 1 if it has found a problem.
    """
    options = _parser().parse_args(arguments)
    try:
        return options.stage(options) or 0
    except UserError as error:
        # One that a loader process raised comes with that process's traceback, whose last line opens with its type.
        sentence = re.sub(r"^dynamonet[.\w]+: ", "", str(error).splitlines()[-1])
        print(f"error: {sentence}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.filename is None:
            raise
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


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
        arguments = stage(function, name, spec)
        arguments.add_argument("--workers", type=_at_least(1), default=cores, help="processes")
        if function is _prepare:
            arguments.add_argument(
                "--shard", type=_shard, metavar="I/N", help="only check and copy: every N-th video, from the I-th"
            )
            arguments.add_argument(
                "--estimate", action="store_true", help="print what prepared copies would cost, and stop"
            )
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
    measured = stages.add_parser("measure", help=_measure.__doc__)
    measured.set_defaults(stage=_measure)
    which = measured.add_mutually_exclusive_group(required=True)
    which.add_argument("--spec", type=Path, metavar="FILE", help="results/<study>/measure/<model>.spec.json")
    which.add_argument("--all", action="store_true", help="every model at its published input, without a study")
    precisions = ("fp32", "tf32", "bf16", "fp16")
    measured.add_argument("--precision", choices=precisions, default="fp32", help="of products, where a model is timed")
    measured.add_argument("--speed", action="store_true", help="with --all: time the models too")
    measured.add_argument("--threads", type=_at_least(1), default=cores, help="with --all: CPU threads of each model")
    measured.add_argument("--out", type=Path, default=Path("results/zoo"), metavar="DIR", help="of --all: its results")
    stage(_report, "report", "results/<study>/study.json")
    explained = stages.add_parser("explain", help=_explain.__doc__)
    explained.set_defaults(stage=_explain)
    explained.add_argument("a", metavar="RUN", help="a run's folder, or its name with --study")
    explained.add_argument("b", metavar="OTHER", nargs="?", help="another; else what RUN would be today")
    explained.add_argument("--study", type=Path, metavar="DIR", help="results/<study>, whose runs are named")
    explained.add_argument("--json", action="store_true", help="for programs")
    asked = stages.add_parser("status", help=_status.__doc__)
    asked.set_defaults(stage=_status)
    asked.add_argument("--spec", type=Path, metavar="FILE", help="results/<study>/study.json; default: the only study")
    asked.add_argument("--json", action="store_true", help="for programs")
    compared = stages.add_parser("intersection", help=_intersection.__doc__)
    compared.set_defaults(stage=_intersection)
    for name in "ab":
        compared.add_argument(name, type=Path, metavar=name.upper(), help="a run's folder, or its logits.parquet")
    compared.add_argument("--json", type=Path, metavar="FILE", help="write the comparison there too")
    add_commands(stages)
    return parser


def _at_least(least: int):
    def number(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is less than {least}")
        return int(text)

    return number


def _shard(text: str) -> tuple[int, int]:
    shard, _, shards = text.partition("/")
    if not (shard.isdecimal() and shards.isdecimal() and 1 <= int(shard) <= int(shards)):
        raise argparse.ArgumentTypeError(f"{text} is not I/N with I from 1 to N")
    return int(shard), int(shards)


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
    """Join a data set's lists with its files, check every video, copy it if asked to, write the manifest."""
    from dynamonet.data.stage import estimate_copies, prepare_dataset

    if options.estimate:
        estimate_copies(options.spec)
    else:
        prepare_dataset(options.spec, options.workers, options.shard)


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
    """Count and time a model, or all of them beside their published cost."""
    if options.all:
        from dynamonet.measure.zoo import measure_all

        measure_all(options.out, speed=options.speed, precision=options.precision, threads=options.threads)
    else:
        from dynamonet.measure.stage import measure

        measure(options.spec, precision=options.precision)


def _report(options) -> None:
    """Write tables, figures and report.html from the records of a study."""
    from dynamonet.report import write_report

    if options.spec.name != "study.json":
        raise UserError(f"--spec {options.spec}: a report is of a study; name results/<study>/study.json")
    write_report(options.spec.parent)


def _intersection(options) -> None:
    """Compare two evaluations on the videos that both have scored."""
    from dynamonet.report.intersection import intersection

    intersection(options.a, options.b, options.json)


def _explain(options) -> None:
    """Say where two runs part, or why a run is stale: the first cause, and all others."""
    from dynamonet import explain
    from dynamonet.run_folder import find_run

    runs = [find_run(name, options.study) for name in (options.a, options.b) if name]
    explanation = explain.explain(*runs) if len(runs) == 2 else explain.explain_today(*runs)
    _answer(options, explanation, explain.show)


def _status(options) -> None:
    """Say what of a study is done, running, queued, failed, stale or missing."""
    from dynamonet import status

    _answer(options, status.study_status((options.spec or status.find_study()).parent), status.show)


def _answer(options, answer, show: Callable) -> None:
    if options.json:
        print(json.dumps(answer.as_json(), indent=1))
    else:
        from rich.console import Console

        show(answer, Console(highlight=False, soft_wrap=True))


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
