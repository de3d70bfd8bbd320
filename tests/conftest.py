"""The tiny study, as a file, prepared, and ready for any stage; a real SLURM."""

import copy
import os
import shutil
import tempfile
from pathlib import Path

# Before torch is imported: the test processes share the cores, and threads of one wait for those of the others.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import yaml
from slurm_cluster import Cluster, missing
from slurm_workflow import Workflow
from tiny_study import TINY

from dynamonet.data.motion_layouts import generate
from dynamonet.data.preparation import prepare
from dynamonet.expansion import expand
from dynamonet.files import write_json
from dynamonet.spec_files import dataset_spec, model_spec, write_specs
from dynamonet.study import load_study


def pytest_configure(config):
    if os.environ.get("DYNAMONET_SLURM") == "required" and (reason := missing()):
        raise pytest.UsageError(f"DYNAMONET_SLURM=required, and no SLURM cluster can be started here: {reason}")


def pytest_collection_modifyitems(items):
    # The longest first, so that they do not keep one worker busy when the others have nothing left.
    first = ("test_study_on_slurm.py", "test_newcomer.py", "test_whole_path.py")
    longest = (*first, "test_recovery_on_slurm.py", "test_resume.py", "test_distribution.py")
    items.sort(key=lambda item: longest.index(item.path.name) if item.path.name in longest else len(longest))


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
    for model in study.models:
        write_json(study.directory / "measure" / f"{model}.spec.json", model_spec(study, model).model_dump())
    for dataset in study.datasets:
        spec_path = study.directory / "manifests" / f"{dataset}.spec.json"
        spec = dataset_spec(study, dataset)
        write_json(spec_path, spec.model_dump())
        prepare(spec.layout, Path(spec.root), spec_path.with_name(f"{dataset}.parquet"))

    def spec_path(experiment: str, **fields) -> Path:
        runs = expansion.experiments[experiment]
        found = [run for run in runs if all(run[name] == value for name, value in fields.items())]
        return study.directory / "runs" / found[0]["run"] / "spec.json"

    return spec_path


@pytest.fixture(scope="session")
def slurm():
    """A SLURM of this test process's own: four nodes of four CPUs and two GPUs that are none."""
    reason = missing()
    if reason is not None:
        pytest.skip(f"no SLURM cluster can be started here: {reason}")
    root = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    cluster = Cluster(root)
    cluster.up()
    try:
        with cluster.releasing():
            yield cluster
    finally:
        cluster.down()
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def flow(slurm, tmp_path):
    """A working folder whose jobs go to that SLURM."""
    workflow = Workflow(tmp_path, slurm)
    yield workflow
    workflow.end()
