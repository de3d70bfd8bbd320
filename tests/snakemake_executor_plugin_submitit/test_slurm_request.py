import pytest
from submitit.slurm.slurm import SlurmExecutor

from snakemake_executor_plugin_submitit.request import RequestError, local_parameters, request_of, slurm_parameters

FULL = {
    "runtime": 90,
    "mem_mb": 64000,
    "cpus_per_task": 6,
    "nodes": 2,
    "tasks": 8,
    "gpu": 8,
    "slurm_partition": "gpu,long",
    "slurm_account": "vision",
    "slurm_qos": "high",
    "slurm_constraint": "a100|h100",
    "slurm_extra": "--exclude=n7 --reservation='my nodes' --exclusive",
}


@pytest.fixture
def sbatch_options(programs, tmp_path):
    """Function from a request to the options of the file that sbatch is given."""
    programs.write("sbatch", 'cp "$1" script.sh; echo Submitted batch job 12')

    def options(request, **parameters) -> list[str]:
        executor = SlurmExecutor(tmp_path / "jobs")
        executor.update_parameters(**slurm_parameters(request, "train a", "note:1", 120), **parameters)
        executor.submit(print)
        lines = (programs.folder / "script.sh").read_text().splitlines()
        return [line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH --")]

    return options


def names(options: list[str]) -> list[str]:
    return [option.partition("=")[0] for option in options]


def test_tasks_and_gpus_count_the_whole_job():
    request = request_of(FULL, threads=1)
    assert (request.nodes, request.tasks_per_node, request.gpus_per_node) == (2, 4, 4)
    assert (request.runtime_min, request.mem_mb, request.cpus_per_task) == (90, 64000, 6)
    assert request.extra == (("exclude", "n7"), ("reservation", "my nodes"), ("exclusive", True))


def test_threads_are_the_cpus_of_the_one_task():
    request = request_of({"runtime": 5}, threads=4)
    assert (request.cpus_per_task, request.tasks_per_node, request.nodes) == (4, 1, 1)
    assert (request.gpus_per_node, request.mem_mb, request.partition) == (0, None, None)


def test_a_node_has_a_task_where_tasks_are_not_given():
    assert request_of({"runtime": 5, "nodes": 3}, threads=1).tasks_per_node == 1


def test_jobs_that_ask_for_the_same_can_share_an_array():
    assert len({request_of(FULL, threads=1), request_of({**FULL}, threads=2)}) == 1


@pytest.mark.parametrize(
    ("resources", "complaint"),
    [
        ({}, r"runtime \(minutes\) is missing"),
        ({"runtime": None}, r"runtime \(minutes\) is missing"),
        ({"runtime": 5, "slurm_partitoin": "gpu"}, "no resource 'slurm_partitoin': known are slurm_partition"),
        ({"runtime": "long"}, "runtime must be a whole number of at least 1, not 'long'"),
        ({"runtime": 0}, "runtime must be a whole number of at least 1, not 0"),
        ({"runtime": 5, "mem_mb": 1.5}, "mem_mb must be a whole number"),
        ({"runtime": 5, "nodes": True}, "nodes must be a whole number"),
        ({"runtime": 5, "gpu": -1}, "gpu must be a whole number of at least 0"),
        ({"runtime": 5, "cpus_per_task": 0}, "cpus_per_task must be a whole number of at least 1"),
        ({"runtime": 5, "nodes": 2, "tasks": 3}, "tasks=3 cannot be spread evenly over nodes=2"),
        ({"runtime": 5, "nodes": 2, "gpu": 3}, "gpu=3 cannot be spread evenly over nodes=2"),
        ({"runtime": 5, "slurm_extra": "-p gpu"}, "slurm_extra: '-p' is not of the form"),
        ({"runtime": 5, "slurm_extra": "--exclude n7"}, "slurm_extra: 'n7' is not of the form"),
        ({"runtime": 5, "slurm_extra": "--reservation='my nodes"}, "slurm_extra"),
    ],
)
def test_what_cannot_be_asked_for_is_named(resources, complaint):
    with pytest.raises(RequestError, match=complaint):
        request_of(resources, threads=1)


def test_sbatch_is_given_each_option_once(sbatch_options):
    options = sbatch_options(request_of(FULL, threads=1))
    assert sorted(set(names(options))) == sorted(names(options))
    expected = {
        "job-name='train a'",
        "comment=note:1",
        "partition=gpu,long",
        "account=vision",
        "qos=high",
        "constraint='a100|h100'",
        "gpus-per-node=4",
        "cpus-per-task=6",
        "mem=64000MB",
        "time=90",
        "nodes=2",
        "ntasks-per-node=4",
        "signal=USR2@120",
        "requeue",
        "exclude=n7",
        "reservation='my nodes'",
        "exclusive",
        "open-mode=append",
    }
    assert expected <= set(options)
    assert "wckey" not in names(options)


def test_what_was_not_asked_for_is_left_to_the_cluster(sbatch_options):
    options = sbatch_options(request_of({"runtime": 5}, threads=2))
    left = {"partition", "account", "qos", "constraint", "gpus-per-node", "gres", "mem", "wckey", "error"}
    assert not left & set(names(options))
    assert {"time=5", "cpus-per-task=2", "nodes=1", "ntasks-per-node=1"} <= set(options)


@pytest.mark.parametrize("option", ["gpus-per-node=a100:4", "cpus-per-task=2", "mem=0", "open-mode=truncate"])
def test_an_extra_option_takes_the_place_of_one_made_from_resources(sbatch_options, option):
    options = sbatch_options(request_of({**FULL, "slurm_extra": f"--{option}"}, threads=1))
    assert [found for found in options if found.startswith(option.partition("=")[0])] == [option]


def test_one_process_runs_the_rule_and_has_all_cpus(sbatch_options, programs):
    sbatch_options(request_of(FULL, threads=1))
    srun = next(line for line in (programs.folder / "script.sh").read_text().splitlines() if line.startswith("srun"))
    assert "--nodes=1 --ntasks=1 --cpus-per-task=6" in srun


def test_this_machine_runs_one_process_with_the_gpus_of_a_node():
    parameters = local_parameters(request_of({"runtime": 5, "tasks": 2, "gpu": 2}, threads=1), grace_s=30)
    assert (parameters["timeout_min"], parameters["gpus_per_node"], parameters["signal_delay_s"]) == (5, 2, 30)
    assert (parameters["tasks_per_node"], parameters["nodes"]) == (1, 1)
