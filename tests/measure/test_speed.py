import psutil
import pytest
import torch
from torch import nn

from dynamonet.measure import speed
from dynamonet.measure.speed import measure_speed, reset_peak_mib
from dynamonet.models.classifier import Classifier

VIDEO = torch.rand(1, 3, 2, 4, 4)


@pytest.fixture
def search(monkeypatch):
    """`search(seconds)`: what is measured of a model whose batch of n clips takes `seconds(n)` and n MiB."""

    def searched(seconds) -> dict:
        monkeypatch.setattr(speed, "_timed", lambda forward, batch: [seconds(len(batch))] * 3)
        sizes = []
        monkeypatch.setattr(speed, "reset_peak_mib", lambda device: 100.0)
        monkeypatch.setattr(speed, "peak_mib", lambda device: 100.0 + (sizes[-1] if sizes else 1))
        timed = speed._timed
        monkeypatch.setattr(speed, "_timed", lambda forward, batch: sizes.append(len(batch)) or timed(forward, batch))
        return measure_speed(nn.Identity(), VIDEO, 100.0)

    return searched


def test_the_batch_size_doubles_until_throughput_has_stopped_improving(search):
    row = search(lambda clips: max(0.01, 0.002 * clips))  # 500 clips/s from 8 clips on
    assert (row["batch_size"], row["batch_size_limit"], row["clips_per_s"]) == (8, "throughput", 500)
    assert (row["peak_memory_mib"], row["clip_peak_memory_mib"], row["latency_ms_median"]) == (8, 1, 10)


def test_one_batch_size_that_does_not_improve_is_no_end(search):
    row = search(lambda clips: {1: 0.01, 2: 0.02}.get(clips, 0.02 + 0.001 * clips))
    assert row["batch_size"] > 64


def test_a_slow_model_is_not_tried_in_batches_that_take_too_long(search):
    row = search(lambda clips: 8.0)
    assert (row["batch_size"], row["batch_size_limit"], row["clips_per_s"]) == (1, "time", 0.12)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_the_search_ends_where_memory_runs_out(search, error):
    def seconds(clips):
        if clips == 8:
            raise error
        return 0.01

    row = search(seconds)
    assert (row["batch_size"], row["batch_size_limit"], row["clips_per_s"]) == (4, "memory", 400)


def test_the_search_ends_before_the_system_kills_the_process(search, monkeypatch):
    memory = psutil.virtual_memory()._replace(available=3 * 2**20)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    row = search(lambda clips: 0.01)
    assert (row["batch_size"], row["batch_size_limit"]) == (2, "memory")


def test_other_errors_are_not_taken_for_want_of_memory(search):
    def seconds(clips):
        if clips == 2:
            raise RuntimeError("a batch of two is refused")
        return 0.01

    with pytest.raises(RuntimeError, match="a batch of two is refused"):
        search(seconds)


@pytest.fixture
def few_runs(monkeypatch):
    monkeypatch.setattr(speed, "RUNS", (3, 3))
    monkeypatch.setattr(speed, "WARM_UP", 1)
    monkeypatch.setattr(speed, "SEARCH_S", 2)


def test_memory_is_that_which_inference_adds(few_runs):
    class Large(nn.Module):
        def forward(self, video):
            return torch.ones(len(video), 40 * 2**20, dtype=torch.uint8)[:, :2].float() * video.mean()

    row = measure_speed(Classifier(Large(), None, (1, 1, 1)), VIDEO, reset_peak_mib(VIDEO.device))
    assert 39 < row["clip_peak_memory_mib"] < 60
    assert 39 * row["batch_size"] < row["peak_memory_mib"] < 60 * row["batch_size"]


def test_products_are_of_the_precision_asked_for(few_runs):
    seen = set()
    net = nn.Sequential(nn.Conv3d(3, 2, 1), nn.Flatten())
    net[0].register_forward_hook(lambda module, inputs, output: seen.add(output.dtype))
    row = measure_speed(Classifier(net, None, (1, 1, 1)), VIDEO, 0.0, "bf16")
    assert seen == {torch.bfloat16}
    assert row["latency_runs"] == 3
    assert 0 < row["latency_ms_p10"] <= row["latency_ms_median"] <= row["latency_ms_p90"]
