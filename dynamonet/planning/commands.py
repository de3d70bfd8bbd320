"""`dynamonet plan`, `calibrate` and `doctor`: what is asked of a study file before its jobs are."""

import argparse
import json
import math
from pathlib import Path

import yaml
from rich.console import Console

from dynamonet.files import write_json

PLAIN_WIDTH = 148
"""Characters in a line, where the output is no terminal."""


def add_commands(stages) -> None:
    """Add the commands to argparse's subparsers."""
    planned = _command(stages, _plan, "plan", study_needed=True)
    planned.add_argument("--gpus", type=_count, metavar="N", help="devices at once; default: all that the jobs hold")
    planned.add_argument("--device", metavar="NAME", help="the one to plan for, as calibrations and records name it")
    planned.add_argument(
        "--tflops", type=_speed, metavar="N", help="10¹² operations per second to suppose where no time is known"
    )
    planned.add_argument("--json", type=Path, metavar="FILE", help="write the plan there too")
    _command(stages, _calibrate, "calibrate", study_needed=True)
    _command(stages, _doctor, "doctor", study_needed=False).add_argument(
        "--json", action="store_true", help="for programs"
    )


def _command(stages, function, name: str, study_needed: bool) -> argparse.ArgumentParser:
    command = stages.add_parser(name, help=function.__doc__)
    command.set_defaults(stage=function)
    command.add_argument("--study", type=Path, required=study_needed, metavar="FILE", help="config/<study>.yaml")
    command.add_argument(
        "--config", nargs="+", default=[], metavar="KEY=VALUE", help="keys in the place of the study file's"
    )
    command.add_argument(
        "--profile", metavar="NAME", help="Snakemake profile, or none; default: slurm if that names the study"
    )
    return command


def _count(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return int(text)


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not 0 < speed < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no speed: give what the device sustains, above 0")
    return speed


def _opened(options):
    """Study, expansion and profile."""
    from dynamonet.expansion import expand
    from dynamonet.planning.profile import read_profile
    from dynamonet.study import load_study, read_config

    keys = {key: yaml.safe_load(value) for key, _, value in (one.partition("=") for one in options.config)}
    study = load_study({**read_config(options.study), **keys})
    return study, expand(study), read_profile(options.profile, options.study, study.threads)


def _plan(options) -> None:
    """Say what a study will take, and of what is done how well that was foretold."""
    from dynamonet.planning.forecast import make_plan, save_plan
    from dynamonet.planning.show import show_plan

    study, expansion, profile = _opened(options)
    plan = make_plan(study, expansion, profile, options.gpus, options.device, options.tflops)
    save_plan(plan, study.directory / "plan.json")
    if options.json:
        write_json(options.json, plan.as_json())
    show_plan(plan, _console())


def _calibrate(options) -> None:
    """Time short steps of all that a study will run, on the device at hand."""
    from dynamonet.planning.calibration import calibrate
    from dynamonet.planning.show import show_calibration

    calibration = calibrate(*_opened(options))
    show_calibration(calibration, _console())


def _doctor(options) -> int:
    """Check environment, GPU, video decoding, SLURM, data and disk; status 1 if something has to be mended."""
    from dynamonet.doctor import PROBLEM, examine, show

    findings = examine(*(_opened(options) if options.study else (None, None, None)))
    if options.json:
        print(json.dumps([finding.as_json() for finding in findings], indent=1))
    else:
        show(findings, _console())
    return int(any(finding.state == PROBLEM for finding in findings))


def _console() -> Console:
    console = Console(highlight=False, soft_wrap=True)
    return console if console.is_terminal else Console(highlight=False, soft_wrap=True, width=PLAIN_WIDTH)
