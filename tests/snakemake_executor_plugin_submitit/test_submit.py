import re
import time
from types import SimpleNamespace

import pytest
from submitit.helpers import DelayedSubmission

from snakemake_executor_plugin_submitit import ExecutorSettings, submit
from snakemake_executor_plugin_submitit.journal import Journal
from snakemake_executor_plugin_submitit.registry import Registry
from snakemake_executor_plugin_submitit.request import request_of
from snakemake_executor_plugin_submitit.submit import SubmissionRefused, Submitter

REQUEST = request_of({"runtime": 30, "nodes": 2, "tasks": 4, "slurm_partition": "gpu"}, threads=3)
ONE = {"k1": ("train a", "echo a", "a/progress.json")}
THREE = {f"k{number}": (f"train {number}", f"echo {number}", None) for number in range(3)}
# Fails as often as there are lines in `complaints`, one by one, then submits; keeps each file that it is given.
SBATCH = """
number=$(ls script-* 2>/dev/null | wc -l); cp "$1" script-$number
complaint=$(sed -n $((number + 1))p complaints 2>/dev/null)
if [ -n "$complaint" ]; then
  case $complaint in *"timed out"*) grep -oP -- "--comment=\\K\\S+" script-$number | sed "s/^/77|/" >> queue;; esac
  echo "sbatch: error: Batch job submission failed: $complaint" >&2; exit 1
fi
echo "Submitted batch job 41"
"""


class Cluster:
    def __init__(self, programs):
        self.programs = programs
        programs.write("sbatch", SBATCH)
        programs.write("squeue", "touch queue; cat queue")
        programs.write("scancel", "rm -f queue")
        programs.write("scontrol", 'echo "MaxArraySize            = 1001"')

    def complain(self, *complaints: str) -> None:
        """What sbatch says the first times."""
        (self.programs.folder / "complaints").write_text("\n".join(complaints))

    def scripts(self) -> list[str]:
        return [path.read_text() for path in sorted(self.programs.folder.glob("script-*"))]


@pytest.fixture
def cluster(programs) -> Cluster:
    return Cluster(programs)


@pytest.fixture
def pauses(monkeypatch) -> list[float]:
    """The pauses that the submitter made, without making them."""
    made = []
    monkeypatch.setattr(submit, "time", SimpleNamespace(**{**vars(time), "sleep": made.append}))
    return made


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def submitter(tmp_path, said) -> Submitter:
    registry = Registry(tmp_path / "submitit", holder="here")
    return Submitter(ExecutorSettings(grace_s=90, patience=2), registry, workdir=tmp_path, say=said.append)


def option(script: str, name: str) -> str | None:
    found = re.search(rf"^#SBATCH --{name}=(.*)$", script, re.MULTILINE)
    return found and found.group(1)


def test_a_job_alone_is_no_array(cluster, submitter, tmp_path):
    entries = submitter.submit("train", REQUEST, ONE)
    (script,) = cluster.scripts()
    assert option(script, "array") is None
    assert option(script, "job-name") == "'train a'"
    entry = entries["k1"]
    assert entry.job_id == "41"
    assert option(script, "comment") == entry.submission.comment
    assert option(script, "output").replace("%j", "41") == str(entry.log)
    payload = DelayedSubmission.load(entry.submitted).function
    assert (payload.command, payload.progress_file) == ("echo a", "a/progress.json")
    assert (payload.workdir, payload.journal) == (str(tmp_path), str(entry.journal))
    assert (payload.grace_s, payload.patience) == (90, 2)
    (found,) = submitter.registry.submissions()
    assert found.job_id == "41"


def test_a_job_is_told_its_size(cluster, submitter):
    entries = submitter.submit("train", REQUEST, ONE)
    payload = DelayedSubmission.load(entries["k1"].submitted).function
    assert sorted(payload.environment.values()) == ["2", "2", "3"]


def test_several_jobs_are_one_array(cluster, submitter):
    entries = submitter.submit("train", REQUEST, THREE)
    (script,) = cluster.scripts()
    assert option(script, "array") == "0-2%3"
    assert option(script, "job-name") == "train"
    assert [entry.job_id for entry in entries.values()] == ["41_0", "41_1", "41_2"]
    for key, (_, command, _) in THREE.items():
        assert DelayedSubmission.load(entries[key].submitted).function.command == command
    assert len(submitter.registry.submissions()) == 1


def test_a_busy_controller_is_waited_out(cluster, submitter, pauses, said):
    cluster.complain(*["Unable to contact slurm controller (connect failure)"] * 2)
    entries = submitter.submit("train", REQUEST, ONE)
    assert entries["k1"].job_id == "41"
    assert len(cluster.scripts()) == 3
    assert len(pauses) == len(said) == 2 and pauses == sorted(pauses)
    assert "Unable to contact slurm controller" in said[0]
    (found,) = submitter.registry.submissions()
    assert found.job_id == "41"
    assert not cluster.programs.calls("scancel")
    assert len({option(script, "comment") for script in cluster.scripts()}) == 3


def test_a_refusal_is_told_in_the_words_of_sbatch(cluster, submitter, pauses):
    complaint = "Invalid account or account/partition combination specified"
    cluster.complain(complaint)
    with pytest.raises(SubmissionRefused, match=f"^Batch job submission failed: {complaint}$"):
        submitter.submit("train", REQUEST, THREE)
    assert len(cluster.scripts()) == 1 and not pauses
    assert submitter.registry.submissions() == []


def test_a_refusal_without_a_word_is_one_too(cluster, submitter, pauses):
    cluster.programs.write("sbatch", "exit 1")
    with pytest.raises(SubmissionRefused):
        submitter.submit("train", REQUEST, ONE)
    assert submitter.registry.submissions() == []


def test_a_cluster_without_its_programs_refuses(tmp_path, submitter, pauses, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SubmissionRefused, match="srun"):
        submitter.submit("train", REQUEST, ONE)
    # Nothing was submitted that could be looked for.
    assert sum(pauses) < 30


def test_a_job_that_exists_in_spite_of_a_time_out_is_ended_before_the_next(cluster, submitter, pauses):
    cluster.complain("Socket timed out on send/recv operation")
    entries = submitter.submit("train", REQUEST, ONE)
    assert entries["k1"].job_id == "41"
    calls = [call.split()[0] for call in cluster.programs.calls()]
    assert calls == ["sbatch", "squeue", "scancel", "sbatch"]
    assert cluster.programs.calls("scancel") == ["scancel 77"]
    assert len(submitter.registry.submissions()) == 1


def test_nothing_is_submitted_again_while_it_is_not_known_what_became_of_it(cluster, submitter, pauses):
    # For a long time SLURM does not say whether the job exists.
    cluster.complain("Socket timed out on send/recv operation")
    answer = "echo >> asked; [ $(wc -l < asked) -gt 60 ] && exec cat queue"
    cluster.programs.write("squeue", f"{answer}; echo Unable to contact slurm controller >&2; exit 1")
    submitter.submit("train", REQUEST, ONE)
    assert cluster.programs.calls("scancel") == ["scancel 77"]


def test_a_lost_job_is_submitted_again_and_its_restarts_go_on_counting(cluster, submitter):
    entry = submitter.submit("train", REQUEST, ONE)["k1"]
    Journal(entry.journal).write("start", progress=None)
    cluster.programs.write("sbatch", "echo Submitted batch job 42")
    again = submitter.submit_again(entry, REQUEST)
    assert (again.job_id, again.key, again.name) == ("42", "k1", "train a")
    payload = DelayedSubmission.load(again.submitted).function
    assert (payload.command, payload.progress_file, payload.journal) == (
        "echo a",
        "a/progress.json",
        str(again.journal),
    )
    assert [event["event"] for event in Journal(again.journal).read()] == ["start", "resubmit"]
    (found,) = submitter.registry.submissions()
    assert found.job_id == "42"


def test_a_lost_task_of_an_array_leaves_the_others_alone(cluster, submitter):
    entries = submitter.submit("train", REQUEST, THREE)
    cluster.programs.write("sbatch", "echo Submitted batch job 42")
    submitter.submit_again(entries["k1"], REQUEST)
    open_jobs = {entry.job_id for one in submitter.registry.submissions() for entry in one.entries().values()}
    assert open_jobs == {"41_0", "41_2", "42"}


def test_a_busy_controller_is_waited_out_for_a_lost_job_too(cluster, submitter, pauses):
    entry = submitter.submit("train", REQUEST, ONE)["k1"]
    cluster.complain("", "Unable to contact slurm controller (connect failure)")
    assert submitter.submit_again(entry, REQUEST).key == "k1"
    assert len(cluster.scripts()) == 3


def test_a_lost_job_that_is_refused_is_still_open(cluster, submitter, pauses):
    entry = submitter.submit("train", REQUEST, ONE)["k1"]
    cluster.complain("", "Invalid qos specification")
    with pytest.raises(SubmissionRefused, match="Invalid qos specification"):
        submitter.submit_again(entry, REQUEST)
    (found,) = submitter.registry.submissions()
    assert found.job_id == "41"


def test_an_array_is_no_larger_than_the_cluster_and_the_user_allow(cluster, submitter):
    assert submitter.max_array() == 1000
    assert submitter.max_array() == 1000 and len(cluster.programs.calls("scontrol")) == 1
    cluster.programs.write("scontrol", 'echo "MaxArraySize            = 101"')
    settings, registry = submitter.settings, submitter.registry
    assert Submitter(settings, registry, submitter.workdir, print).max_array() == 100
    assert Submitter(ExecutorSettings(max_array=10), registry, submitter.workdir, print).max_array() == 10
    cluster.programs.write("scontrol", 'echo "MaxArraySize            = 0"')
    assert Submitter(settings, registry, submitter.workdir, print).max_array() == 1


@pytest.mark.parametrize("settings", [ExecutorSettings(max_array=1), ExecutorSettings(cluster="local")])
def test_no_arrays_no_question(programs, submitter, settings):
    assert Submitter(settings, submitter.registry, submitter.workdir, print).max_array() == 1
    assert not programs.calls()


def test_a_controller_that_does_not_answer_costs_the_array_and_not_the_workflow(programs, submitter, pauses):
    programs.write("scontrol", '[ -e up ] && exec echo "MaxArraySize = 1001"; touch up; echo no answer >&2; exit 1')
    assert submitter.max_array() >= 1
