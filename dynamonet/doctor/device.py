"""The GPU: what its driver says, and what torch makes of it."""

import json
import shutil
import sys
from collections.abc import Collection, Iterator

from dynamonet.doctor.finding import OK, PROBLEM, WARNING, Finding, NoAnswer, answer

SUBJECT = "gpu"
FIELDS = ("name", "driver_version", "memory.free", "memory.total", "mig.mode.current", "utilization.gpu")
TORCH = """
import json, torch, torchvision
about = {"torch": torch.__version__, "torchvision": torchvision.__version__, "cuda": torch.version.cuda, "gpus": []}
if torch.cuda.is_available():
    for number in range(torch.cuda.device_count()):
        about["gpus"].append([torch.cuda.get_device_name(number), *torch.cuda.get_device_capability(number)])
    about["architectures"] = torch.cuda.get_arch_list()
    torch.zeros(1, device="cuda").add_(1).cpu()
print(json.dumps(about))
"""
BF16_SINCE, TF32_SINCE, FP16_SINCE = (8, 0), (8, 0), (7, 0)
"""Compute capabilities with tensor cores for them."""
NEEDS = {"bf16": BF16_SINCE, "tf32": TF32_SINCE, "fp16": FP16_SINCE}
FULL = 0.9
"""Share of a GPU's memory that is free where nobody else uses it."""


def check_device(precisions: Collection[str] = (), on_cluster: bool = False) -> Iterator[Finding]:
    """precisions: of the study's recipes. on_cluster: its jobs get GPUs from SLURM, so that none is needed here."""
    there = shutil.which("nvidia-smi") is not None
    if there:
        yield from _driver()
    try:
        about = json.loads(answer([sys.executable, "-W", "ignore", "-c", TORCH]).splitlines()[-1])
    except NoAnswer as error:
        mend = "pip install -c constraints.txt -e . , or a build of torch for your driver: https://pytorch.org"
        yield Finding(SUBJECT, PROBLEM, f"torch and torchvision do not work together here ({error})", mend)
        return
    yield Finding(SUBJECT, OK, f"torch {about['torch']} and torchvision {about['torchvision']} import")
    if not about["gpus"]:
        yield _without_gpu(there, about["cuda"], on_cluster)
    for number, (name, *capability) in enumerate(about["gpus"]):
        yield from _capability(number, name, tuple(capability), precisions, about["architectures"])


def _without_gpu(driver: bool, cuda: str | None, on_cluster: bool) -> Finding:
    if driver and cuda is None:
        says = "nvidia-smi shows a driver, and this torch is built for CPUs"
        return Finding(SUBJECT, PROBLEM, says, "install a build of torch for CUDA: https://pytorch.org")
    if driver:
        says = f"torch (for CUDA {cuda}) sees no GPU, though there is a driver: it is too old, or none is given to us"
        return Finding(SUBJECT, PROBLEM, says, "nvidia-smi; echo $CUDA_VISIBLE_DEVICES")
    if on_cluster:
        says = "no GPU here: jobs get theirs from SLURM, and the doctor can look at one of those"
        return Finding(SUBJECT, OK, says, "srun --gpus=1 dynamonet doctor")
    return Finding(SUBJECT, OK, "no GPU here: stages compute on the CPU")


def _capability(number: int, name: str, capability: tuple, precisions, architectures) -> Iterator[Finding]:
    version = ".".join(map(str, capability))
    says = f"GPU {number} {name}: compute capability {version}, bf16 {'yes' if capability >= BF16_SINCE else 'no'}"
    yield Finding(SUBJECT, OK, says)
    major, minor = capability
    if architectures and not any(_runs(one, major, minor) for one in architectures):
        says = f"GPU {number}: this torch is built for {', '.join(architectures)}, and not for its {version}"
        yield Finding(SUBJECT, PROBLEM, says, "install another build of torch: https://pytorch.org")
    for precision in precisions:
        if capability < NEEDS.get(precision, (0, 0)):
            says = f"GPU {number} has no fast {precision}, which the study's recipes ask for"
            yield Finding(SUBJECT, WARNING, says, "set another `precision` in the recipes, or take another GPU")


def _runs(architecture: str, major: int, minor: int) -> bool:
    """Whether code built for sm_80 or compute_90 runs there: of the same major number, or compiled when it starts."""
    kind, _, digits = architecture.partition("_")
    if not digits.isdecimal():  # sm_90a is for that one alone
        return digits.rstrip("af") == f"{major}{minor}"
    built = int(digits[:-1]), int(digits[-1])
    return built <= (major, minor) and (kind == "compute" or built[0] == major)


def _driver() -> Iterator[Finding]:
    try:
        query = answer(["nvidia-smi", f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits"])
        used = answer(["nvidia-smi", "--query-compute-apps=pid,process_name,used_memory", "--format=csv,noheader"])
    except NoAnswer as error:
        yield Finding(SUBJECT, PROBLEM, f"the driver does not answer ({error})", "nvidia-smi; then ask who runs it")
        return
    for number, line in enumerate(query.strip().splitlines()):
        name, driver, free_mib, total_mib, mig, busy = (field.strip() for field in line.split(","))
        about = f"GPU {number} {name}, driver {driver}"
        if free_mib.isdecimal() and total_mib.isdecimal():
            says = f"{about}: {int(free_mib) / 1024:.1f} of {int(total_mib) / 1024:.1f} GiB are free, {busy} % busy"
            crowded = int(free_mib) < FULL * int(total_mib)
            mend = "nvidia-smi shows who else is there; ask for a GPU of your own: srun --gpus=1 --exclusive"
            yield Finding(SUBJECT, WARNING if crowded else OK, says, mend if crowded else "")
        else:
            yield Finding(SUBJECT, OK, f"{about}: it does not say how much memory is free")
        if mig == "Enabled":
            says = f"GPU {number} is divided (MIG): a job sees a part of it, and times hold for parts of that size"
            yield Finding(SUBJECT, WARNING, says, "calibrate on a part like those that the jobs get")
    if others := used.strip().splitlines():
        says = f"{len(others)} processes compute on GPUs here: {'; '.join(one.strip() for one in others[:3])}"
        yield Finding(SUBJECT, WARNING, says, "times taken now are not those of a GPU of one's own")
