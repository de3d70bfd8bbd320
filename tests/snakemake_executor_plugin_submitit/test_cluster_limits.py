import pytest

from snakemake_executor_plugin_submitit.limits import Cluster, minutes, refusals
from snakemake_executor_plugin_submitit.request import request_of
from snakemake_executor_plugin_submitit.scheduler import Unavailable

PARTITIONS = """\
PartitionName=gpu AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL AllocNodes=ALL Default=YES QoS=N/A \
DefaultTime=NONE DisableRootJobs=NO ExclusiveUser=NO GraceTime=0 Hidden=NO MaxNodes=2 MaxTime=2-00:00:00 MinNodes=0 \
LLN=NO MaxCPUsPerNode=UNLIMITED Nodes=g[1-3] PriorityJobFactor=1 State=UP TotalCPUs=160 TotalNodes=3 \
DefMemPerNode=UNLIMITED MaxMemPerNode=UNLIMITED TRES=cpu=160,mem=1536000M,node=3,gres/gpu=10
PartitionName=cpu AllowGroups=ALL Default=NO MaxNodes=UNLIMITED MaxTime=UNLIMITED Nodes=c1 State=UP TotalNodes=1
PartitionName=short AllowGroups=ALL Default=NO MaxNodes=UNLIMITED MaxTime=01:00:00 Nodes=g[1-3],c1 State=UP
PartitionName=old AllowGroups=ALL Default=NO MaxNodes=UNLIMITED MaxTime=UNLIMITED Nodes=c1 State=DOWN
"""
NODES = """\
NodeName=g1 Arch=x86_64 CoresPerSocket=32 CPUAlloc=0 CPUEfctv=64 CPUTot=64 CPULoad=0.01 AvailableFeatures=a100 \
Gres=gpu:a100:4(S:0-1) NodeAddr=g1 OS=Linux 5.15.0-91 #101-Ubuntu SMP RealMemory=512000 AllocMem=0 State=IDLE \
Partitions=gpu,short BootTime=2024-01-01T00:00:00 CfgTRES=cpu=64,mem=500G,billing=64,gres/gpu=4 AllocTRES=
NodeName=g2 CPUTot=64 Gres=gpu:a100:4(S:0-1) RealMemory=512000 State=MIXED Partitions=gpu,short
NodeName=g3 CPUTot=32 Gres=gpu:v100:1,gpu:p100:1 RealMemory=256000 State=DOWN* Partitions=gpu,short \
Reason=disk=full [root@2024-01-01T00:00:00]
NodeName=c1 CPUTot=128 Gres=(null) RealMemory=1024000 State=IDLE Partitions=cpu,short,old
"""


@pytest.fixture
def cluster(programs) -> Cluster:
    (programs.folder / "partitions").write_text(PARTITIONS)
    (programs.folder / "nodes").write_text(NODES)
    programs.write("scontrol", 'case "$*" in *partition*) cat partitions;; *node*) cat nodes;; *) exit 1;; esac')
    return Cluster.read()


def problems(cluster: Cluster, **resources) -> list[str]:
    return cluster.problems(request_of({"runtime": 60, **resources}, threads=1))


def test_partitions_and_nodes_are_read(cluster):
    gpu, cpu = cluster.partitions["gpu"], cluster.partitions["cpu"]
    assert (gpu.is_default, gpu.max_minutes, gpu.max_nodes, gpu.is_up) == (True, 2880, 2, True)
    assert (cpu.is_default, cpu.max_minutes, cpu.max_nodes) == (False, None, None)
    assert not cluster.partitions["old"].is_up
    assert [node.gpus for node in cluster.nodes] == [4, 4, 2, 0]
    assert [node.cpus for node in cluster.nodes] == [64, 64, 32, 128]
    assert [node.mem_mb for node in cluster.nodes] == [512000, 512000, 256000, 1024000]
    assert cluster.nodes[0].partitions == {"gpu", "short"}


def test_both_kinds_are_asked_for_once(cluster, programs):
    assert len(programs.calls("scontrol")) == 2


@pytest.mark.parametrize(
    "resources",
    [
        {},
        {"runtime": 2880, "mem_mb": 512000, "gpu": 8, "tasks": 8, "nodes": 2, "cpus_per_task": 16},
        {"slurm_partition": "cpu", "runtime": 100000, "mem_mb": 1024000, "cpus_per_task": 128},
        {"slurm_partition": "short", "gpu": 2, "cpus_per_task": 32},
    ],
)
def test_what_can_be_met_is_not_refused(cluster, resources):
    assert problems(cluster, **resources) == []


@pytest.mark.parametrize(
    ("resources", "complaint"),
    [
        ({"slurm_partition": "gpus"}, "there is no partition 'gpus': known are cpu, gpu, old, short"),
        ({"slurm_partition": "gpu,gpus"}, "there is no partition 'gpus': known are cpu, gpu, old, short"),
        ({"slurm_partition": "old"}, "partition 'old' is down"),
        ({"runtime": 2881}, "runtime=2881 min is over the 2880 min of partition 'gpu'"),
        ({"nodes": 3}, "nodes=3 is over the 2 of partition 'gpu'"),
        ({"gpu": 8}, "8 GPUs on a node are asked for, and no node of partition 'gpu' has more than 4"),
        ({"slurm_partition": "cpu", "gpu": 1}, "1 GPUs on a node are asked for, and no node of partition 'cpu'"),
        ({"mem_mb": 512001}, "512001 MB of memory on a node are asked for, and no node of partition 'gpu' has more"),
        ({"cpus_per_task": 65}, "65 CPUs on a node are asked for, and no node of partition 'gpu' has more than 64"),
        ({"tasks": 4, "cpus_per_task": 17}, "68 CPUs on a node are asked for"),
        (
            {"slurm_partition": "short", "nodes": 3, "gpu": 9},
            "3 nodes are asked for, and 2 of partition 'short' have what each must have",
        ),
        (
            {"slurm_partition": "short", "gpu": 4, "mem_mb": 600000},
            "1 nodes are asked for, and 0 of partition 'short' have what each must have",
        ),
    ],
)
def test_what_can_never_be_met_is_refused_in_a_sentence(cluster, resources, complaint):
    (problem,) = problems(cluster, **resources)
    assert problem.startswith(complaint)


def test_of_several_partitions_one_that_can_is_enough(cluster):
    assert problems(cluster, slurm_partition="cpu,gpu", gpu=4) == []
    assert problems(cluster, slurm_partition="short,gpu", runtime=600) == []
    assert len(problems(cluster, slurm_partition="cpu,gpu", gpu=5)) == 1


def test_what_is_asked_of_sbatch_by_hand_is_not_judged(cluster):
    assert problems(cluster, gpu=8, slurm_extra="--gres=gpu:a100:4") == []


def test_a_cluster_without_a_default_partition_is_not_judged(programs, cluster):
    text = PARTITIONS.replace("Default=YES", "Default=NO")
    (programs.folder / "partitions").write_text(text)
    assert problems(Cluster.read(), gpu=8) == []


def test_a_hidden_partition_is_known(programs, cluster):
    show = 'case "$*" in *partition*) cat partitions;; *) cat nodes;; esac'
    hidden = "PartitionName=hidden AllowGroups=ALL Default=NO Hidden=YES MaxTime=UNLIMITED State=UP"
    programs.write("scontrol", f'{show}; case "$*" in *--all*partition*) echo {hidden};; esac')
    assert "hidden" in Cluster.read().partitions


def test_a_partition_of_cloud_nodes_is_not_judged_by_those_that_are_powered_down(programs, cluster):
    # scontrol does not show them.
    (programs.folder / "nodes").write_text(NODES.splitlines()[-1])
    assert problems(Cluster.read(), gpu=4) == []


def test_a_rule_with_many_jobs_is_refused_once(cluster):
    requests = [("train", request_of({"runtime": 5000}, threads=1))] * 3
    requests.append(("evaluate", request_of({"runtime": 5}, threads=1)))
    assert refusals(cluster, requests) == ["rule train: runtime=5000 min is over the 2880 min of partition 'gpu'"]


def test_a_cluster_that_does_not_answer_is_unavailable(programs):
    programs.fail("scontrol", "slurm_load_partitions: Unable to contact slurm controller (connect failure)")
    with pytest.raises(Unavailable, match="Unable to contact slurm controller"):
        Cluster.read()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("UNLIMITED", None),
        ("INFINITE", None),
        ("NONE", None),
        ("30", 30),
        ("30:00", 30),
        ("30:01", 31),
        ("01:30:00", 90),
        ("00:00:30", 1),
        ("2-00:00:00", 2880),
        ("1-12", 2160),
        ("1-12:30", 2190),
        ("1-00:00:01", 1441),
    ],
)
def test_time_limits_in_minutes(text, expected):
    assert minutes(text) == expected
