import json

from dynamonet.engine.attempts import Attempts


def test_starts_and_stops_become_one_entry_per_start(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    attempts = Attempts(tmp_path)
    attempts.begin(0)
    attempts.begin(10)  # the first was killed
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    attempts.stop(17, "SIGUSR2")
    attempts.begin(17)
    provenance = attempts.provenance(30)
    entries = provenance["attempts"]
    assert provenance["restarts"] == 2
    assert [(e["from_step"], e["to_step"], e["stopped_by"]) for e in entries] == [
        (0, None, None),
        (10, 17, "SIGUSR2"),
        (17, 30, None),
    ]
    assert [e["slurm_restart_count"] for e in entries] == [None, None, "1"]
    assert {e["slurm_job_id"] for e in entries} == {"77"}
    assert all(e["host"] and e["started_at"].endswith("Z") for e in entries)


def test_a_line_that_a_crash_cut_off_is_dropped(tmp_path):
    attempts = Attempts(tmp_path)
    attempts.begin(0)
    with attempts.path.open("a") as file:
        file.write('{"event": "st')
    attempts.begin(4)
    assert [json.loads(line)["step"] for line in attempts.path.read_text().splitlines()] == [0, 4]


def test_attempts_at_another_fit_are_forgotten(tmp_path):
    attempts = Attempts(tmp_path)
    attempts.forget()
    attempts.begin(0)
    attempts.forget()
    attempts.begin(0)
    assert attempts.provenance(5)["restarts"] == 0
