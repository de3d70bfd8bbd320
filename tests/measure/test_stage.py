import subprocess
import sys

import pytest

from dynamonet.errors import UserError
from dynamonet.files import read_json, write_json
from dynamonet.measure.stage import measure
from dynamonet.models.card import Clip, Views
from dynamonet.spec import ModelSpec


def test_the_record_holds_cost_and_speed(prepared):
    # In a process of its own, as always: in this one, tests before may have left memory that the batch fits into.
    command = [sys.executable, "-m", "dynamonet.cli", "measure", "--spec", "results/tiny/measure/dynamonet.spec.json"]
    subprocess.run(command, check=True)
    record = read_json("results/tiny/measure/dynamonet.json")
    metrics = record["metrics"]
    assert metrics["gmacs_per_video"] == metrics["gmacs_per_clip"] * metrics["views_per_video"]
    assert metrics["gmacs_products_per_clip"] < metrics["gmacs_per_clip"] < metrics["gmacs_training_norms_per_clip"]
    assert 0 < metrics["latency_ms_p10"] <= metrics["latency_ms_median"] <= metrics["latency_ms_p90"]
    assert metrics["clips_per_s"] > 0
    assert metrics["peak_memory_mib"] > 0
    assert metrics["batch_size_limit"] in ("throughput", "memory", "time")
    assert record["provenance"]["device"]
    assert record["provenance"]["precision"] == "fp32"


@pytest.fixture
def spec_of(tmp_path):
    """`spec_of(build, **fields)`: the file of its spec, of a small clip."""

    def written(build, **fields):
        spec = ModelSpec(
            **{"model": "m", "build": build, "options": {}, "clip": Clip(frames=4, crop=32), "num_classes": 5,
               "views": Views(clips=2, crops=3), "threads": 1, **fields}
        )  # fmt: skip
        write_json(tmp_path / "m.spec.json", spec.model_dump())
        return tmp_path / "m.spec.json"

    return written


def test_a_clip_has_the_crop_of_the_views(spec_of, tmp_path):
    gmacs = {}
    for crop in (None, 64):
        measure(spec_of("slow_r50", options={"width": 4}, views=Views(clips=2, crops=3, crop=crop)), speed=False)
        record = read_json(tmp_path / "m.json")
        gmacs[record["clip"]["crop"]] = record["metrics"]["gmacs_per_clip"]
        assert record["metrics"]["gmacs_per_video"] == 6 * record["metrics"]["gmacs_per_clip"]
        assert "clips_per_s" not in record["metrics"]
    assert gmacs[64] == pytest.approx(4 * gmacs[32], rel=0.01)


@pytest.mark.parametrize(
    "net",
    ["lambda video: video.new_zeros(1, 7)", "lambda video: video.new_full((1, num_classes), float('nan'))"],
    ids=["another number of classes", "not a number"],
)
def test_a_model_that_gives_no_logits_is_named_by_its_file(net, spec_of, tmp_path, monkeypatch):
    import baselines
    from dynamonet.models import catalogue

    folder = tmp_path / "baselines"
    folder.mkdir()
    monkeypatch.setattr(catalogue, "BASELINES", folder)
    monkeypatch.setattr(baselines, "__path__", [str(folder), *baselines.__path__])
    (folder / "faulty.py").write_text(
        "from baselines.slow_r50 import CARD as SLOW\n"
        "CARD = SLOW.model_copy(update={'released': None})\n"
        "def build(num_classes, clip):\n"
        "    from torch import nn\n"
        "    class Faulty(nn.Module):\n"
        f"        forward = staticmethod({net})\n"
        "    return Faulty()\n"
    )
    try:
        with pytest.raises(UserError, match=r"^baselines/faulty\.py: "):
            measure(spec_of("faulty"))
    finally:
        sys.modules.pop("baselines.faulty", None)
    assert not (tmp_path / "m.json").exists()
