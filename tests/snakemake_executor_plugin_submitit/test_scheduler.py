import os
import subprocess
import sys

import pytest

from snakemake_executor_plugin_submitit import scheduler
from snakemake_executor_plugin_submitit.scheduler import Local, Patience, Slurm, State, Unavailable, is_busy


def test_one_question_for_all_jobs(programs):
    rows = [f"{number}|RUNNING|None" for number in range(7, 10)] + ["12_0|PENDING|Resources", "12_10|COMPLETED|None"]
    programs.say("squeue", "\n".join(rows))
    states = Slurm().states({"7", "8", "9", "12_0", "12_10"})
    assert len(programs.calls()) == 1
    assert states["8"].alive
    assert states["12_0"] == State("PENDING", "Resources")
    assert states["12_10"].name == "COMPLETED" and not states["12_10"].alive


def test_jobs_of_others_are_not_taken_for_ours(programs):
    programs.say("squeue", "12_0|RUNNING|None\n12_1|RUNNING|None\n")
    assert Slurm().states({"12_1"}).keys() == {"12_1"}


def test_many_jobs_are_asked_for_in_batches(programs, monkeypatch):
    monkeypatch.setattr(scheduler, "JOBS_PER_QUESTION", 2)
    programs.write(
        "squeue",
        'for word; do case $word in --jobs=*) echo "${word#*=}" | tr , "\\n" | sed "s/$/|RUNNING|None/";; esac; done',
    )
    assert Slurm().states({"1", "2", "3", "4", "5"}).keys() == {"1", "2", "3", "4", "5"}
    assert len(programs.calls("squeue")) == 3


def test_accounting_is_asked_only_for_what_the_queue_forgot(programs):
    programs.say("squeue", "7|RUNNING|None\n")
    programs.say("sacct", "8|NODE_FAIL|0:0\n8|FAILED|3:0\n9|CANCELLED by 1000|0:15\n9.batch|CANCELLED|0:15\n")
    states = Slurm().states({"7", "8", "9"})
    (asked,) = programs.calls("sacct")
    assert "--jobs=8,9" in asked
    assert states["7"].name == "RUNNING"
    # The last of several rows is the job's last run.
    assert states["8"] == State("FAILED", exit_code="3:0")
    assert states["9"] == State("CANCELLED", exit_code="0:15")


def test_a_single_job_that_the_queue_forgot_is_no_outage(programs):
    programs.fail("squeue", "slurm_load_jobs error: Invalid job id specified")
    programs.say("sacct", "7|COMPLETED|0:0\n")
    assert Slurm().states({"7"}) == {"7": State("COMPLETED", exit_code="0:0")}


def test_a_cluster_without_accounting_says_nothing_of_a_forgotten_job(programs):
    programs.say("squeue", "")
    programs.fail("sacct", "Slurm accounting storage is disabled")
    assert Slurm().states({"7"}) == {}


def test_accounting_that_is_down_is_an_outage(programs):
    programs.say("squeue", "")
    programs.fail("sacct", "sacct: error: slurm_persist_conn_open_without_init: failed to open persistent connection")
    with pytest.raises(Unavailable, match="persistent connection"):
        Slurm().states({"7"})


def test_an_outage_says_nothing_of_any_job(programs):
    programs.fail("squeue", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
    with pytest.raises(Unavailable, match="Unable to contact slurm controller"):
        Slurm().states({"7", "8"})
    assert not programs.calls("sacct")


def test_a_program_that_hangs_is_an_outage(programs, monkeypatch):
    monkeypatch.setattr(scheduler, "ANSWER_WITHIN_S", 1)
    programs.write("squeue", "exec sleep 20")
    with pytest.raises(Unavailable, match="squeue did not answer within 1 s"):
        Slurm().states({"7"})


def test_a_program_that_is_missing_is_an_outage(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="squeue: No such file"):
        Slurm().states({"7"})


def test_details_of_a_job(programs):
    programs.say(
        "scontrol",
        "JobId=13 ArrayJobId=12 ArrayTaskId=1 JobName=train UserId=me(1000) JobState=FAILED "
        "Reason=NonZeroExitCode Dependency=(null) ExitCode=3:0 Comment=a=b TRES=cpu=2,mem=1G\n",
    )
    assert Slurm().details("12_1") == State("FAILED", "NonZeroExitCode", "3:0")
    assert "show job 12_1" in programs.calls("scontrol")[0]


def test_details_come_from_accounting_where_the_controller_forgot(programs):
    programs.fail("scontrol", "slurm_load_jobs error: Invalid job id specified")
    programs.say("sacct", "7|OUT_OF_MEMORY|0:125\n")
    assert Slurm().details("7") == State("OUT_OF_MEMORY", exit_code="0:125")
    programs.fail("sacct", "sacct: error: Connection refused")
    assert Slurm().details("7") is None


def test_a_job_is_found_by_its_comment(programs):
    programs.say("squeue", "41|snakemake-submitit:a\n42|(null)\n43|snakemake-submitit:ab\n43|snakemake-submitit:ab\n")
    assert Slurm().with_comment("snakemake-submitit:ab") == "43"
    assert Slurm().with_comment("snakemake-submitit:b") is None


def test_jobs_are_cancelled_together(programs):
    programs.say("scancel", "")
    Slurm().cancel(["7", "12_1"])
    assert programs.calls("scancel") == ["scancel 12_1 7"]
    Slurm().cancel([])
    assert len(programs.calls("scancel")) == 1


def test_a_busy_controller_is_told_from_one_that_refuses():
    assert is_busy("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation")
    assert not is_busy("sbatch: error: Batch job submission failed: Invalid account or account/partition combination")


def test_a_local_job_is_its_process(tmp_path):
    script = tmp_path / "submitit_job.py"
    script.write_text("import time\nprint(flush=True)\ntime.sleep(60)\n")
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        job_id = str(process.pid)
        assert Local().states({job_id})[job_id].alive
        Local().cancel([job_id])
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        # Dead, although nobody has waited for it.
        assert not Local().states({job_id})[job_id].alive
        assert process.wait() == -15
    assert Local().states({job_id}) == {job_id: State("FAILED")}
    Local().cancel([job_id])


def test_another_process_with_the_number_of_a_local_job_is_left_alone():
    with subprocess.Popen(["sleep", "60"]) as process:
        Local().cancel([str(process.pid)])
        assert not Local().states({str(process.pid)})[str(process.pid)].alive
        assert process.poll() is None
        process.kill()


def test_questions_become_seldom_while_nothing_changes_and_frequent_again(monkeypatch):
    now = 100.0
    monkeypatch.setattr(scheduler.time, "monotonic", lambda: now)
    patience = Patience(least_s=2, most_s=10)
    assert patience.is_due()
    waits = []
    for _ in range(6):
        patience.asked(changed=False)
        assert not patience.is_due()
        waits.append(patience.due_at - now)
        now = patience.due_at
        assert patience.is_due()
    assert waits == sorted(waits) and waits[0] > 2 and waits[-1] == 10
    patience.asked(changed=True)
    assert patience.due_at - now == 2


def test_questions_are_never_asked_more_often_than_the_user_wants():
    patience = Patience(least_s=120, most_s=60)
    patience.asked(changed=False)
    assert patience.wait_s == 120
