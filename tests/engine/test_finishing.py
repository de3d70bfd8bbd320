"""Stages whose clips are cut by the loader and finished where the network is."""

from pathlib import Path

import pytest
import torch
from processes import RESULTS

from dynamonet.data import device_batch
from dynamonet.data.clips import EvalClips, TrainClips
from dynamonet.data.resize import resized_by_sums
from dynamonet.engine import fit as fit_module
from dynamonet.engine import inference
from dynamonet.engine.acceleration import as_input
from dynamonet.engine.evaluate import evaluate
from dynamonet.engine.fit import fit
from dynamonet.errors import UserError
from dynamonet.recipe import Recipe
from dynamonet.spec import load_spec

ACCELERATOR = torch.device("cuda")


@pytest.fixture
def run(prepared):
    """A function settings of the recipe -> spec.json of a run of them."""

    def saved(**settings) -> Path:
        spec = load_spec(prepared("kinetics400", model="dynamonet"))
        recipe = spec.recipe.model_copy(update={"steps": 4, **settings})
        views = spec.views.model_copy(update={"clips": 2, "crops": 3, "short_side": 40})
        spec = spec.model_copy(update={"recipe": recipe, "views": views})
        path = Path("results/tiny/runs") / spec.run / "spec.json"
        spec.save(path)
        return path

    return saved


def results(spec_path: Path, workers: int = 0) -> list[bytes]:
    fit(spec_path, workers)
    evaluate(spec_path, workers)
    return [(spec_path.parent / name).read_bytes() for name in RESULTS]


def test_all_results_are_the_same_where_clips_are_finished_by_the_stage(run, monkeypatch):
    spec_path = run(crop="resized", flip=True, accumulation=2)
    expected = results(spec_path)
    kinds = {fit_module: TrainClips, inference: EvalClips}
    finished = []

    def elsewhere(kind):
        def build(*arguments, device, **options):
            clips = kind(*arguments, device=ACCELERATOR, **options)
            clips.device = device
            return clips

        return build

    for module, kind in kinds.items():
        monkeypatch.setattr(module, kind.__name__, elsewhere(kind))
    monkeypatch.setattr(device_batch, "resized", lambda *arguments: finished.append(1) or resized_by_sums(*arguments))
    assert results(spec_path, workers=1) == expected
    assert finished


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_batch_is_laid_out_as_the_recipe_asks(channels_last):
    videos = torch.randint(0, 256, (2, 4, 8, 8, 3), dtype=torch.uint8)
    batch = device_batch.collate([{"video": video.movedim(-1, 0)} for video in videos])
    recipe = Recipe(steps=1, batch_size=2, learning_rate=1, channels_last=channels_last)
    video = as_input(batch["video"], recipe, torch.device("cpu"))
    assert torch.equal(video, videos.movedim(-1, 1).float() / 255)
    assert video.is_contiguous() is not channels_last
    assert video.is_contiguous(memory_format=torch.channels_last_3d) is channels_last


@pytest.mark.parametrize("crop", ["corners", "jitter"])
def test_every_kind_of_crop_trains(run, crop):
    extra = {"crop_short_side": (32, 40)} if crop == "jitter" else {"crop_scales": (1.0, 0.7)}
    spec_path = run(crop=crop, **extra)
    fit(spec_path)
    assert (spec_path.parent / "fit.json").exists()


def test_a_class_that_the_data_set_has_not_is_refused(run):
    with pytest.raises(UserError, match=r"flip_except of the recipe: 'turn left' is none of the data set's 12 classes"):
        fit(run(flip=True, flip_except=("turn left",)))
