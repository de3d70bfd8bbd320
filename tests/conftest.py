"""A tiny study that every stage can run in seconds, shared by the tests."""

import copy
from pathlib import Path

import pytest
import yaml

from dynamonet.data.manifest import prepare
from dynamonet.data.motion_layouts import generate
from dynamonet.spec import DatasetSpec, read_spec
from dynamonet.spec_files import write_specs
from dynamonet.study import expand, load_study

ROOT = Path(__file__).resolve().parent.parent
CLIP = {"frames": 8, "stride": 1, "crop": 32}
OPTIONS = {"depth": 10, "width": 4, "stem_frames": 3}
TINY = {
    "name": "tiny",
    "title": "A tiny study",
    "threads": 1,
    "measured_classes": 12,
    "motion": {
        "frames": 12,
        "width": 40,
        "height": 32,
        "kinetics_train_per_class": 2,
        "kinetics_val_per_class": 1,
        "ucf_groups": 3,
        "ucf_clips_per_group": 1,
        "hmdb_train_per_class": 1,
        "hmdb_test_per_class": 1,
        "hmdb_unused_per_class": 0,
        "pool_videos": 20,
    },
    "datasets": {
        "kinetics400": {"layout": "kinetics400", "root": "{motion}/kinetics400"},
        "ucf101": {"layout": "ucf101", "root": "{motion}/ucf101", "splits": [1, 2, 3]},
        "pool": {"layout": "unlabelled", "root": "{motion}/pool"},
    },
    "models": {
        "dynamonet": {"build": "dynamonet", "options": OPTIONS, "clip": CLIP},
        "backbone": {
            "build": "dynamonet",
            "title": "backbone alone",
            "options": {**OPTIONS, "prediction": False, "dmr_features": 0},
            "clip": CLIP,
            "init_from": "dynamonet",
        },
        "slow_r50": {"build": "slow_r50", "options": {"width": 8}, "clip": {"frames": 4, "stride": 2, "crop": 32}},
    },
    "recipes": {"short": {"steps": 6, "batch_size": 4, "learning_rate": 0.001, "log_every": 2, "checkpoint_every": 2}},
    "experiments": {
        "pretraining": {
            "claim": "unlabelled video teaches motion",
            "task": "pretrain",
            "models": ["dynamonet"],
            "dataset": "pool",
            "recipe": "short",
            "tables": ["frame_prediction"],
        },
        "kinetics400": {
            "claim": "joint training helps",
            "models": ["dynamonet", "backbone", "slow_r50"],
            "dataset": "kinetics400",
            "init": ["scratch"],
            "recipe": "short",
            "tables": ["accuracy", "ablation", "frame_prediction"],
        },
        "ucf101": {
            "claim": "and after fine-tuning",
            "models": ["dynamonet", "backbone"],
            "dataset": "ucf101",
            "init": ["kinetics400"],
            "recipe": "short",
            "tables": ["accuracy"],
        },
        "labels": {
            "claim": "pretraining cuts the labels needed",
            "models": ["dynamonet", "backbone"],
            "dataset": "kinetics400",
            "init": ["scratch", "pretraining"],
            "label_fractions": [0.5, 1.0],
            "recipe": "short",
            "tables": ["label_efficiency"],
        },
    },
    "claims": {
        "pretraining": {
            "text": "Pretraining helps",
            "treatment": {"experiment": "labels", "model": "dynamonet", "init": "pretraining", "label_fraction": 0.5},
            "control": {"experiment": "labels", "model": "dynamonet", "init": "scratch", "label_fraction": 0.5},
        }
    },
}


@pytest.fixture
def tiny() -> dict:
    """The tiny study's file, to be changed at will."""
    return copy.deepcopy(TINY)


@pytest.fixture
def tiny_file(tiny, tmp_path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(tiny))
    return path


@pytest.fixture(scope="session")
def motion_home(tmp_path_factory) -> Path:
    """A working folder in which the tiny study's videos have been generated."""
    home = tmp_path_factory.mktemp("motion")
    study = load_study(copy.deepcopy(TINY))
    generate(study.motion, home / study.motion_root, workers=1)
    return home


@pytest.fixture
def prepared(motion_home, tmp_path, monkeypatch):
    """Enter a working folder with specs written and data sets prepared; returns a function run -> its spec.json.

    The function takes the study's name of a model and optional fields that the run must have.
    """
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(motion_home / "data")
    study = load_study(copy.deepcopy(TINY))
    expansion = expand(study)
    write_specs(study, expansion)
    for dataset in study.datasets:
        spec_path = study.directory / "manifests" / f"{dataset}.spec.json"
        spec = read_spec(DatasetSpec, spec_path)
        prepare(spec.layout, Path(spec.root), spec_path.with_name(f"{dataset}.parquet"))

    def spec_path(experiment: str, **fields) -> Path:
        runs = expansion.experiments[experiment]
        found = [run for run in runs if all(run[name] == value for name, value in fields.items())]
        return study.directory / "runs" / found[0]["run"] / "spec.json"

    return spec_path
