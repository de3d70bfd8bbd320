"""Where a stage computes, and how it is made repeatable."""

import platform
from pathlib import Path

import torch

from dynamonet.data.sampling import key_digest


def prepare_device(threads: int, local_rank: int = 0) -> torch.device:
    """Choose a GPU if there is one, fix the number of CPU threads and ask for deterministic kernels.

    local_rank: number of this process among those of its node; each takes its own GPU.
    """
    torch.set_num_threads(threads)
    # Max-pooling in 3D has no deterministic backward on CUDA; there it warns instead of stopping the run.
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
    # Filling fresh memory guards against kernels that read it; none of ours does, and it costs 7 % of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False
    if not torch.cuda.is_available():
        return torch.device("cpu")
    # Launchers show a process either all GPUs of its node or its own alone.
    device = torch.device("cuda", local_rank % torch.cuda.device_count())
    torch.cuda.set_device(device)
    return device


def seed_torch(*keys: object) -> None:
    """Seed torch's global generators by a purpose, so that a draw does not depend on what was drawn before."""
    torch.manual_seed(int.from_bytes(key_digest(*keys)[:8]))


def device_name(device: torch.device) -> str:
    """For records: the GPU's name, or the CPU's with the number of threads used."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{cpu_name()}, {torch.get_num_threads()} thread{'s'[: torch.get_num_threads() > 1]}"


def cpu_name() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
