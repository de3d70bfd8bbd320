import subprocess
import sys

import psutil
import pytest
import torch

from dynamonet.engine.memory import advice, is_out_of_memory, largest_that_fits
from dynamonet.recipe import Recipe

CPU = torch.device("cpu")
# A process that may use 400 MiB more than it does, and a step that needs about 7 MiB a clip.
LIMITED = """
import resource, psutil, torch
from dynamonet.engine.memory import is_out_of_memory, largest_that_fits

torch.set_num_threads(1)
net = torch.nn.Sequential(torch.nn.Conv3d(3, 8, 3, padding=1), torch.nn.BatchNorm3d(8), torch.nn.Conv3d(8, 2, 3))


def step(clips):
    net.zero_grad()
    net(torch.rand(clips, 3, 16, 40, 40)).square().sum().backward()


step(2)
limit = psutil.Process().memory_info().vms + 400 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    step(1024)
    raise SystemExit("1024 clips fit")
except RuntimeError as error:
    assert is_out_of_memory(error), error
print(largest_that_fits(step, 1024))
"""


def recipe(**settings):
    return Recipe(**{"steps": 1, "batch_size": 32, "learning_rate": 0.1, **settings})


def run_out():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (MemoryError(), True),
        (RuntimeError("cuBLAS error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("can't allocate memory"), False),
    ],
)
def test_tells_running_out_of_memory_from_other_errors(error, is_one):
    assert is_out_of_memory(error) == is_one


def test_the_cpu_s_own_refusal_is_recognised():
    with pytest.raises(RuntimeError) as refused:
        torch.empty(2**58)
    assert is_out_of_memory(refused.value)


def test_halves_until_a_step_passes_and_tries_nothing_twice():
    tried = []

    def step(clips):
        tried.append(clips)
        if clips > 5:
            run_out()

    assert largest_that_fits(step, 24) == 3
    assert tried == [12, 6, 3]


def test_nothing_fits_where_one_clip_is_too_much_or_too_few():
    assert largest_that_fits(lambda clips: run_out(), 8) is None

    def normalised(clips):
        if clips > 1:
            run_out()
        torch.nn.BatchNorm1d(3)(torch.rand(clips, 3))

    assert largest_that_fits(normalised, 8) is None


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS limits memory on Linux only")
def test_a_process_that_has_run_out_finds_what_fits():
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) in (16, 32, 64)


def test_names_what_ran_out_what_fits_and_what_to_set():
    said = advice(recipe(), 1, 8, CPU)
    assert "with 32 clips at once; 8 would fit: set accumulation: 4 in the recipe" in said
    assert "gradient_checkpointing: true" in said
    assert f"({psutil.virtual_memory().total / 2**30:.1f} GiB)" in said


@pytest.mark.parametrize(
    ("settings", "processes", "largest", "parts"),
    [
        ({"batch_size": 24}, 1, 5, 6),  # 24 has no 5 equal parts
        ({"batch_size": 32}, 2, 4, 4),  # 16 clips each
        ({"batch_size": 32, "accumulation": 2}, 1, 4, 8),
    ],
)
def test_accumulation_is_the_smallest_that_fits_and_a_recipe_takes_it(settings, processes, largest, parts):
    assert f"set accumulation: {parts} in" in advice(recipe(**settings), processes, largest, CPU)
    assert recipe(**settings | {"accumulation": parts}).batch_size // processes // parts <= largest


def test_where_not_one_fits_only_a_smaller_clip_is_left():
    assert "not one would fit: set gradient_checkpointing: true in the recipe, or make" in advice(
        recipe(), 1, None, CPU
    )
    said = advice(recipe(gradient_checkpointing=True), 1, None, CPU)
    assert "not one would fit: make the model's clip smaller" in said
    assert "gradient_checkpointing" not in said
