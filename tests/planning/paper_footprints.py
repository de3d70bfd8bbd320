"""What the models of the paper's study take, counted beforehand: counting all of them takes a minute.

`PYTHONPATH=tests python tests/planning/paper_footprints.py` counts them again and writes paper_footprints.json.
"""

from dataclasses import asdict
from pathlib import Path
from unittest.mock import patch

from tiny_study import ROOT

from dynamonet.expansion import expand
from dynamonet.files import canonical_json, read_json, write_json
from dynamonet.planning.footprint import Footprint, footprint
from dynamonet.planning.forecast import Plan, make_plan
from dynamonet.planning.profile import read_profile
from dynamonet.study import load_study, read_config

FILE = Path(__file__).with_suffix(".json")
PAPER = ROOT / "config/paper.yaml"
TFLOPS = 100


def key(build, options, clip, classes, crop=None) -> str:
    """Of the arguments of `footprint`."""
    return canonical_json([build, options, clip.frames, clip.crop, classes, crop or clip.crop])


def plan(count) -> Plan:
    """Of the paper's study, with `count` in the place of `footprint`."""
    study = load_study(read_config(PAPER))
    with (
        patch("dynamonet.planning.forecast.footprint", count),
        patch("dynamonet.planning.arithmetic.footprint", count),
    ):
        return make_plan(study, expand(study), read_profile(str(ROOT / "slurm"), PAPER, 1), tflops=TFLOPS)


def counted(*model) -> Footprint:
    """What FILE says. Raises KeyError for a model that is not in it, because the study has changed."""
    return Footprint(**read_json(FILE)[key(*model)])


if __name__ == "__main__":
    found = {}

    def count(*model):
        found[key(*model)] = footprint(*model)
        return found[key(*model)]

    plan(count)
    write_json(FILE, {name: asdict(one) for name, one in sorted(found.items())})
