import subprocess
import sys

from dynamonet.files import read_json


def test_the_record_holds_cost_and_speed(prepared):
    # In a process of its own, as always: in this one, tests before may have left memory that the batch fits into.
    command = [sys.executable, "-m", "dynamonet.cli", "measure", "--spec", "results/tiny/measure/dynamonet.spec.json"]
    subprocess.run(command, check=True)
    record = read_json("results/tiny/measure/dynamonet.json")
    metrics = record["metrics"]
    assert metrics["gmacs_per_video"] == metrics["gmacs_per_clip"] * metrics["views_per_video"]
    assert 0 < metrics["latency_ms_p10"] <= metrics["latency_ms_median"] <= metrics["latency_ms_p90"]
    assert metrics["clips_per_s"] > 0
    assert metrics["peak_memory_mib"] > 0
    assert record["provenance"]["device"]
