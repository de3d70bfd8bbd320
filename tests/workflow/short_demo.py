"""The demo with every experiment and stage of it, cut to a few steps, videos, models and splits."""

import copy
import re

import yaml
from tiny_study import ROOT

OF_THE_RUN = ("runtime", "runs", "compute", "checklist", "accuracy_latency", "stage_times")
"""Tables and figures that tell of a run itself: measured times, jobs, the commit, which a copy of the project lacks."""


def demo() -> dict:
    """The demo's study file."""
    return yaml.safe_load((ROOT / "config/demo.yaml").read_text())


def shortened(study: dict) -> dict:
    """The demo, or what a user has made of it, with that little work that all of it takes a minute or two."""
    study = copy.deepcopy(study)
    for recipe in study["recipes"].values():
        recipe.update(steps=4, warmup_steps=1)
    study["motion"].update(kinetics_train_per_class=3, kinetics_val_per_class=1, ucf_groups=3, ucf_clips_per_group=1)
    study["motion"].update(hmdb_train_per_class=2, hmdb_test_per_class=1, pool_videos=20)
    for name in ("r2plus1d_r50", "c2d_r50", "no_prediction"):
        del study["models"][name]
    study["experiments"]["ablation"]["models"].remove("no_prediction")
    study["experiments"]["kinetics400"]["models"] = ["dynamonet", "backbone", "slow_r50"]
    for name in ("ucf101", "hmdb51"):
        study["experiments"][name]["models"] = ["dynamonet"]
    for experiment in study["experiments"].values():
        if experiment["dataset"] in ("ucf101", "hmdb51"):
            experiment["splits"] = [2]
    return study


def results(folder) -> dict[str, bytes]:
    """Tables and figures of a folder's only study, those apart, and those macros, that tell of the run itself."""
    found = [*folder.glob("results/*/tables/*"), *folder.glob("results/*/figures/*")]
    made = {path.name: path.read_bytes() for path in found if path.name.partition(".")[0] not in OF_THE_RUN}
    if "numbers.tex" in made:
        made["numbers.tex"] = re.sub(rb"(?m)^.newcommand..(Runtime|Compute).*$", b"", made["numbers.tex"])
    return made
