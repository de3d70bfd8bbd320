"""One process per GPU: which processes share a stage, and the little that they tell each other."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from dynamonet.engine.interrupt import EXIT_STATUS, Interrupted
from dynamonet.errors import UserError
from dynamonet.progress import progress


@dataclass(frozen=True)
class World:
    """The processes that share a stage, as one of them sees it. A process on its own is a world of one."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Number of the process on its node: which GPU it takes."""
    address: str = ""
    """Where rank 0 is reached, host:port."""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "World":
        """What torchrun or srun say. Raises UserError if that is too little, or SLURM cannot name the first node."""
        if "RANK" in environment and "WORLD_SIZE" in environment:
            names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
        # Not SLURM_NTASKS: a batch script sees the job's number there, and starts one process all the same.
        elif "SLURM_STEP_NUM_TASKS" in environment:
            names = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")
        else:
            return cls()
        for name in names:
            if not environment.get(name, "").isdecimal():
                raise UserError(f"{names[0]} is set, and {name} is no number: set {', '.join(names)}, or none of them")
        rank, size, local_rank = (int(environment[name]) for name in names)
        return cls(rank, size, local_rank, _address(environment)) if size > 1 else cls()

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.rank == 0

    @contextmanager
    def joined(self, device: torch.device) -> Iterator[None]:
        """Within, the processes can reach each other: tensors of a GPU by nccl, everything else by gloo."""
        if self.size == 1:
            yield
            return
        self._join("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
        failed = False
        try:
            yield
        except Exception:
            failed = True
            raise
        finally:
            if not failed:  # others may wait for a process that failed, and an orderly end would wait for them
                dist.destroy_process_group()

    def _join(self, backend: str) -> None:
        """Wait for the others. Raises UserError where they cannot be reached."""
        kwargs = dict(init_method=f"tcp://{self.address}", rank=self.rank, world_size=self.size)
        # In a thread of its own, torch's waiting leaves this one free to heed signals: the others may never come.
        joining = threading.Thread(target=dist.init_process_group, args=(backend,), kwargs=kwargs, daemon=True)
        joining.start()
        try:
            joining.join()
        except Interrupted as stop:
            print(stop, file=sys.stderr, flush=True)
            os._exit(EXIT_STATUS)  # an orderly end would tear down the thread as it waits, and abort
        if not dist.is_initialized():
            raise UserError(
                f"process {self.rank} of {self.size} does not reach the others at {self.address}: set MASTER_ADDR and "
                "MASTER_PORT to where the first one can be reached"
            )

    def shared(self, module: nn.Module, sync_batch_norm: bool) -> nn.Module:
        """The module with its gradients averaged over the processes after each backward pass.

        Batch normalisation is then over the whole batch, if asked for, where torch can do that, which is on GPUs. The
        layers are replaced in place; parameters stay the ones they are.
        """
        if self.size == 1:
            return module
        if sync_batch_norm and _on_gpu(module):
            module = nn.SyncBatchNorm.convert_sync_batchnorm(module)
        # Parameters without a gradient are looked for at every step, also because the gradients' buckets then stay
        # as they are: torch would rearrange them after the first step, and a resumed fit would add in another order.
        return DistributedDataParallel(module, find_unused_parameters=True)

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the processes of a tensor on the CPU: the same bits for all of them."""
        if self.size == 1:
            return values
        total = values.clone()
        dist.all_reduce(total)
        return total / self.size

    def from_first(self, value: Any) -> Any:
        """Rank 0's value."""
        box = [value]
        if self.size > 1:
            dist.broadcast_object_list(box)
        return box[0]

    def gathered(self, value: Any) -> list:
        """The values of all processes, in the order of their ranks; empty but at rank 0."""
        if self.size == 1:
            return [value]
        values = [None] * self.size if self.first else None
        dist.gather_object(value, values)
        return values or []

    def meet(self) -> None:
        """Return when all processes are here."""
        self.mean(torch.zeros(1))

    def once(self, error: UserError | Interrupted) -> BaseException:
        """What to raise where all processes have met the same: rank 0 says it, the others leave in silence."""
        if self.first:
            return error
        return SystemExit(EXIT_STATUS if isinstance(error, Interrupted) else 2)

    def provenance(self, model: nn.Module) -> dict:
        """For the record of a fit: over how many processes, and what batch normalisation was over."""
        about = {"world_size": self.size}
        if self.size > 1 and any(isinstance(module, _BatchNorm) for module in model.modules()):
            synchronised = any(isinstance(module, nn.SyncBatchNorm) for module in model.modules())
            about["batch_norm"] = "synchronised" if synchronised else "per process"
        return about

    def progress(self, title: str) -> AbstractContextManager:
        return progress(title) if self.first else nullcontext(lambda *_: None)


def _on_gpu(module: nn.Module) -> bool:
    return next(module.parameters()).device.type == "cuda"


def _address(environment: Mapping[str, str]) -> str:
    host, port = environment.get("MASTER_ADDR"), environment.get("MASTER_PORT")
    if (host is None or port is None) and "SLURM_JOB_ID" not in environment:
        raise UserError(
            "several processes share a stage: set MASTER_ADDR and MASTER_PORT to where the first is reached"
        )
    if host is None:
        host = _first_host(environment.get("SLURM_STEP_NODELIST") or environment["SLURM_JOB_NODELIST"])
    if port is None:
        # The same for all processes of a step, another one for the next step; below the ports that systems hand out.
        port = 10000 + (int(environment["SLURM_JOB_ID"]) * 7 + int(environment["SLURM_STEP_ID"])) % 20000
    return f"{host}:{port}"


def _first_host(nodes: str) -> str:
    """Of SLURM's list of nodes, such as `gpu[03-04,7]`."""
    if not set("[,") & set(nodes):
        return nodes
    try:
        listed = subprocess.run(["scontrol", "show", "hostnames", nodes], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise UserError(f"scontrol cannot list the nodes {nodes}: set MASTER_ADDR to the first of them") from error
    return listed.stdout.split()[0]
