"""Where a stage computes, how repeatable its results are, and in which arithmetic."""

import os
import platform
import re
from pathlib import Path

import torch

from dynamonet.data.sampling import key_digest
from dynamonet.errors import UserError
from dynamonet.recipe import Execution


def prepare_device(
    threads: int, local_rank: int = 0, deterministic: bool = True, precision: str = "fp32"
) -> torch.device:
    """Choose a GPU if there is one, fix the number of CPU threads, the tier of determinism and the arithmetic.

    local_rank: number of this process among those of its node; each takes its own GPU. deterministic: an operator
    that is not repeatable raises (`nondeterministic_operator` says which). Otherwise cuDNN times its algorithms and
    takes the fastest. precision: as in the recipe; only tf32 lets a GPU round the factors of fp32 products.
    """
    torch.set_num_threads(threads)
    if deterministic:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # read when cuBLAS starts; without it torch refuses products
    torch.use_deterministic_algorithms(deterministic)
    # Filling fresh memory guards against kernels that read it; none of ours does, and it costs 7 % of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.deterministic = deterministic
    torch.backends.cudnn.benchmark = not deterministic
    # Not the newer `fp32_precision`: once it has been used, torch's compiler, which still reads these two, raises.
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    # With bf16, oneDNN's gradients of 3D convolutions hold memory that nobody wrote, and NaN: seen with torch 2.14 on a
    # CPU with AVX512-BF16, where a clip is two frames long in the layer. torch's own, slower ones do not.
    torch.backends.mkldnn.set_flags(precision != "bf16")
    if not torch.cuda.is_available():
        return torch.device("cpu")
    # Launchers show a process either all GPUs of its node or its own alone.
    device = torch.device("cuda", local_rank % torch.cuda.device_count())
    torch.cuda.set_device(device)
    return device


def determinism(recipe: Execution, device: torch.device) -> dict:
    """For records: the tier of determinism that ran and what else decides the last bits of a result.

    tier "bit-identical": the same bits whenever the same device, software and number of threads run the same recipe.
    "fast": close to them.
    """
    strict = torch.are_deterministic_algorithms_enabled() and not torch.is_deterministic_algorithms_warn_only_enabled()
    about = {
        "tier": "bit-identical" if strict else "fast",
        "device": device.type,
        "precision": recipe.precision,
        "channels_last": recipe.channels_last,
        "compile": recipe.compile,
    }
    if device.type == "cuda":
        cudnn = torch.backends.cudnn
        about |= {
            "tf32": torch.backends.cuda.matmul.allow_tf32,
            "cudnn": cudnn.version(),
            "cudnn_deterministic": cudnn.deterministic,
            "cudnn_benchmark": cudnn.benchmark,
        }
    return about


def nondeterministic_operator(error: Exception) -> UserError | None:
    """What to tell the user where torch has refused an operator that is not repeatable; None for any other error."""
    refused = re.search(r"(\S+) does not have a deterministic implementation", str(error))
    if refused is None:
        return None
    return UserError(
        f"the operator {refused[1]} has no deterministic implementation on this device: set `deterministic: false` in "
        "the recipe, which gives up bit-identical results, or use a model without it"
    )


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
