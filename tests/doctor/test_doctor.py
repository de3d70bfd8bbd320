"""The doctor on this machine and on odd ones: what it says, what mends it, and that nothing hangs it."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from tiny_study import ROOT

from dynamonet import doctor
from dynamonet.cli import main
from dynamonet.doctor import device
from dynamonet.doctor.device import check_device
from dynamonet.doctor.environment import check_environment
from dynamonet.doctor.finding import OK, PROBLEM, WARNING, NoAnswer, answer
from dynamonet.doctor.storage import check_storage, file_system
from dynamonet.files import write_json

NVIDIA_SMI = """case "$*" in
*query-gpu*) echo "NVIDIA H100 80GB HBM3, 550.54.15, {free}, 81559, {mig}, {busy}" ;;
*query-compute-apps*) {apps} ;;
esac"""

GONE = json.dumps({"torch": "2.14", "torchvision": "0.29", "cuda": "13.0", "gpus": []})
"""What torch says of itself where there is no GPU."""


@pytest.fixture
def asked(monkeypatch):
    """Torch is not asked, and `asked.torch` is what it says; nvidia-smi is."""
    asked = SimpleNamespace(torch=GONE)
    monkeypatch.setattr(
        device, "answer", lambda command: answer(command) if command[0] == "nvidia-smi" else asked.torch
    )
    return asked


def states(findings) -> list[str]:
    return [finding.state for finding in findings]


def says(findings, state: str) -> str:
    return " | ".join(f"{one.says} -> {one.mend}" for one in findings if one.state == state)


@pytest.fixture
def one(tiny, tmp_path, monkeypatch):
    """A study of one data set, as a file; `root` is where that lies."""
    monkeypatch.chdir(tmp_path)

    def write(root: str) -> str:
        datasets = {"ucf101": {"layout": "ucf101", "root": root}}
        experiments = {"ucf101": {**tiny["experiments"]["ucf101"], "init": ["scratch"]}}
        study = {**tiny, "datasets": datasets, "experiments": experiments, "claims": {}}
        (tmp_path / "one.yaml").write_text(json.dumps(study))
        return "one.yaml"

    return write


def test_this_machine_is_well(tmp_path, one, capsys):
    assert main(["doctor", "--study", one("{motion}/ucf101"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {one["subject"] for one in found} == {"environment", "gpu", "video", "slurm", "data", "disk"}
    assert {one["state"] for one in found} <= {OK, WARNING}
    text = " ".join(one["says"] for one in found)
    for part in ("torch", "PyAV", "pytorchvideo's models import", "ucf101: the embedded set will be generated"):
        assert part in text
    assert not list(tmp_path.glob(".doctor*"))


def test_a_folder_that_is_not_there_is_a_problem_and_status_1(one, monkeypatch, capsys):
    for check in ("environment", "device", "decoding", "cluster"):
        monkeypatch.setattr(doctor, f"check_{check}", lambda *about: [])
    assert main(["doctor", "--study", one("/nowhere/ucf101")]) == 1
    said = capsys.readouterr().out
    assert "problem data        ucf101: the folder /nowhere/ucf101 does not exist" in said
    assert "→ mount or unpack it there, or edit datasets.ucf101.root in the study file" in said
    assert "1 problem" in said


def test_a_check_that_fails_is_a_finding_and_the_others_go_on(monkeypatch):
    def fail():
        raise KeyError("odd")

    for check in ("device", "decoding", "cluster"):
        monkeypatch.setattr(doctor, f"check_{check}", lambda *about: [])
    monkeypatch.setattr(doctor, "check_environment", fail)
    (found,) = doctor.examine(None, None, None)
    assert (found.state, found.says) == (PROBLEM, "could not be examined: KeyError: 'odd'")


def test_what_hangs_is_left_alone():
    with pytest.raises(NoAnswer, match="sleep did not answer within 0 s"):
        answer(["sleep", "60"], within_s=0.2)


def test_what_is_not_there_or_fails_says_so():
    with pytest.raises(NoAnswer, match="no-such-program: No such file"):
        answer(["no-such-program"])
    with pytest.raises(NoAnswer, match=r"the last line$"):
        answer([sys.executable, "-c", "import sys; sys.exit('first\\nthe last line')"])


@pytest.fixture
def project(tmp_path):
    """A project that asks for one package: `project(python, requirement, pin)`."""

    def write(python=">=3.11", requirement="numpy>=1", pin="numpy==0.1"):
        (tmp_path / "pyproject.toml").write_text(
            f'[project]\nrequires-python = "{python}"\ndependencies = ["{requirement}"]\n'
        )
        (tmp_path / "constraints.txt").write_text(f"# pins\n{pin}\n")
        return list(check_environment(tmp_path))

    return write


def test_this_environment_is_within_its_bounds():
    assert PROBLEM not in states(check_environment(ROOT))


def test_packages_beside_what_is_asked_for(project):
    assert "numpy 2" in says(project(requirement="numpy<1"), PROBLEM)
    assert "no-such is not installed -> pip install" in says(project(requirement="no-such>=1"), PROBLEM)
    assert "1 packages are not those that the tests run with: numpy" in says(project(), WARNING)
    assert ">=4 is needed" in says(project(python=">=4"), PROBLEM)


def test_a_driver_that_torch_does_not_see_is_a_problem(program, asked):
    program("nvidia-smi", NVIDIA_SMI.format(free=80000, mig="Disabled", busy=0, apps=":"))
    found = list(check_device())
    assert "driver 550.54.15: 78.1 of 79.6 GiB are free, 0 % busy" in says(found, OK)
    assert "torch (for CUDA 13.0) sees no GPU" in says(found, PROBLEM)
    asked.torch = json.dumps({**json.loads(GONE), "cuda": None})
    assert "this torch is built for CPUs" in says(check_device(), PROBLEM)


def test_a_gpu_that_is_shared_divided_or_in_use_is_a_warning(program, asked):
    apps = "echo '4711, python, 40000 MiB'"
    program("nvidia-smi", NVIDIA_SMI.format(free=40000, mig="Enabled", busy=99, apps=apps))
    said = says(check_device(), WARNING)
    assert "39.1 of 79.6 GiB are free, 99 % busy" in said
    assert "divided (MIG)" in said
    assert "1 processes compute on GPUs here: 4711, python, 40000 MiB" in said


def test_a_driver_that_does_not_answer_is_a_problem(program, asked):
    program("nvidia-smi", "echo 'NVIDIA-SMI has failed because it could not communicate with the driver'; exit 9")
    assert "the driver does not answer (nvidia-smi: exit code 9)" in says(check_device(), PROBLEM)


ARCHITECTURES = ["sm_75", "sm_80", "sm_90", "compute_90"]


@pytest.mark.parametrize(
    ("capability", "precisions", "expected"),
    [
        ((9, 0), ["bf16", "fp32"], {OK}),
        ((8, 6), ["bf16"], {OK}),  # sm_80 runs on it
        ((12, 0), ["bf16"], {OK}),  # compute_90 is compiled for it
        ((7, 5), ["bf16"], {OK, WARNING}),
        ((7, 0), ["fp32"], {OK, PROBLEM}),
    ],
)
def test_what_a_gpu_can_do_beside_what_is_asked_for(program, monkeypatch, capability, precisions, expected):
    program.alone()
    about = {**json.loads(GONE), "gpus": [["Some GPU", *capability]], "architectures": ARCHITECTURES}
    monkeypatch.setattr(device, "answer", lambda command: json.dumps(about))
    assert set(states(check_device(precisions))) == expected


def test_no_gpu_is_a_statement(program, monkeypatch):
    program.alone()
    monkeypatch.setattr(device, "answer", lambda command: GONE)
    assert set(states([*check_device(), *check_device(["bf16"], on_cluster=True)])) == {OK}
    assert "srun --gpus=1 dynamonet doctor" in says(check_device((), on_cluster=True), OK)


def test_torch_that_does_not_import_is_a_problem(program, monkeypatch):
    def fail(command):
        raise NoAnswer("python: RuntimeError: operator torchvision::nms does not exist")

    monkeypatch.setattr(device, "answer", fail)
    program.alone()
    assert "torchvision::nms does not exist" in says(check_device(), PROBLEM)


def test_disk_that_is_too_small_for_the_plan_is_a_problem(tmp_path):
    study_dir = tmp_path / "results/tiny"
    assert "dynamonet plan --study" in says(check_storage(study_dir, on_cluster=False), WARNING)
    disk = {"weights_and_scores": 10**9, "checkpoints": 10**18, "copies": None, "manifests": 0}
    write_json(study_dir / "plan.json", {"disk": disk})
    said = says(check_storage(study_dir, on_cluster=False), PROBLEM)
    assert "the plan needs 1000000.0 TB, without copies, which are not known" in said
    write_json(study_dir / "plan.json", {"disk": {**disk, "checkpoints": 0}})
    assert PROBLEM not in states(check_storage(study_dir, on_cluster=False))


def test_results_that_nodes_cannot_see_are_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr("dynamonet.doctor.storage.file_system", lambda folder: "ext4")
    assert "the nodes must see it" in says(check_storage(tmp_path, on_cluster=True), WARNING)
    assert "the nodes must see it" not in says(check_storage(tmp_path, on_cluster=False), WARNING)
    monkeypatch.setattr("dynamonet.doctor.storage.file_system", lambda folder: "nfs4")
    assert "the nodes must see it" not in says(check_storage(tmp_path, on_cluster=True), WARNING)


def test_the_kind_of_file_system_is_that_of_the_nearest_mount():
    assert file_system(Path("/proc/self")) == "proc"


def test_a_folder_that_takes_no_file_is_a_problem():
    assert "/proc cannot be written to" in says(check_storage(Path("/proc"), on_cluster=False), PROBLEM)
