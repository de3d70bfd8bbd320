"""What the daemons of the SLURM cluster on loopback are told: its configuration files, as texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

# slurmd takes a GPU's file only if it is a character device; these exist on every machine.
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random")

# config_overrides: nodes may have more than the machine. linuxproc, none, linux: no cgroup is made.
# MinJobAge: how long squeue and scontrol know an ended job. preempt_send_user_signal: a preempted job gets the signal
# of its --signal, not SIGTERM alone.
SLURM_CONF = """
ClusterName=loopback SlurmUser=root AuthType=auth/munge AuthInfo=socket={root}/munge/socket MailProg=/bin/true
SlurmctldHost={host}(127.0.0.1) SlurmctldPort={ports[1]} StateSaveLocation={root}/state SlurmdSpoolDir={root}/spool/%n
SlurmctldLogFile={root}/log/slurmctld.log SlurmctldPidFile={root}/run/slurmctld.pid SlurmdTimeout=15
SlurmdLogFile={root}/log/slurmd-%n.log SlurmdPidFile={root}/run/slurmd-%n.pid SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc TaskPlugin=task/none JobAcctGatherType=jobacct_gather/linux JobAcctGatherFrequency=0
SelectType=select/cons_tres SelectTypeParameters=CR_Core_Memory GresTypes=gpu MpiDefault=none ReturnToService=2
SchedulerParameters=bf_interval=5,sched_interval=5,batch_sched_delay=1,default_queue_depth=500 JobRequeue=1
PreemptType=preempt/partition_prio PreemptMode=REQUEUE KillWait=10 MinJobAge=3600 MaxArraySize=1001
SlurmctldParameters=preempt_send_user_signal
AccountingStorageType=accounting_storage/slurmdbd AccountingStorageTRES=gres/gpu AccountingStorageHost=127.0.0.1
AccountingStoragePort={ports[0]} AccountingStoragePass=socket={root}/munge/socket
"""
PARTITIONS = """
PartitionName=gpu Nodes=ALL Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=20 MaxTime=2-00:00:00
PartitionName=high Nodes=ALL PriorityTier=10 PreemptMode=OFF
PartitionName=brief Nodes=ALL PriorityTier=1 MaxTime=00:10:00
"""
SLURMDBD_CONF = """
AuthType=auth/munge AuthInfo=socket={root}/munge/socket SlurmUser=root
DbdHost={host} DbdAddr=127.0.0.1 DbdPort={ports[0]} LogFile={root}/log/slurmdbd.log PidFile={root}/run/slurmdbd.pid
StorageType=accounting_storage/mysql StorageHost=localhost StorageUser=root StorageLoc=slurm
"""
# Never used, but without it slurmd looks for the machine's cgroups, and may stop.
CGROUP_CONF = "CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n"


def configuration(
    root: Path,
    host: str,
    ports: Sequence[int],
    settings: Mapping[str, object],
    nodes: Sequence[str],
    cpus: int,
    mem_mb: int,
    gpus: int,
) -> dict[str, str]:
    """File name -> text.

    ports: of slurmdbd, of slurmctld and of each node. settings: added to slurm.conf, or in place of what is there.
    cpus, mem_mb, gpus: what each node has.
    """
    values = dict(root=root, host=host, ports=ports)
    defaults = dict(entry.split("=", 1) for entry in SLURM_CONF.format(**values).split())
    lines = [f"{name}={value}" for name, value in (defaults | dict(settings)).items()]
    node = f"NodeHostname={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={mem_mb} Gres=gpu:{gpus}"
    lines += [f"NodeName={name} Port={port} {node}" for name, port in zip(nodes, ports[2:], strict=True)]
    return {
        "slurm.conf": "\n".join(lines) + PARTITIONS,
        "gres.conf": f"NodeName={','.join(nodes)} Name=gpu File={','.join(DEVICES[:gpus])}\n" if gpus else "",
        "cgroup.conf": CGROUP_CONF,
        "slurmdbd.conf": "\n".join(SLURMDBD_CONF.format(**values).split()) + "\n",
    }
