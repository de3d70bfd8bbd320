import re
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError
from tiny_study import ROOT

from dynamonet.data import copy_recipe
from dynamonet.data.copy_recipe import CopyRecipe, copy_path, least_short_side, recipe_id
from dynamonet.study_schema import DatasetConfig

RECIPE = CopyRecipe(short_side=128)


@pytest.mark.parametrize(
    ("crop", "scales", "side"),
    [
        (112, (1.0,), 112),
        (112, (1, 0.84, 0.71, 0.59, 0.5), 224),
        (112, (1, 0.84, 0.71, 0.59), 190),
        (112, (1, 0.7), 160),  # 112 / 0.7 is a little more than 160 in floating point
        (111, (1.0,), 112),
    ],
)
def test_least_short_side_gives_the_smallest_crop_its_pixels(crop, scales, side):
    assert least_short_side(crop, scales) == side


def test_recipe_id_is_readable_and_tells_recipes_apart():
    assert recipe_id(RECIPE).startswith("s128-crf18-")
    others = [CopyRecipe(short_side=130), CopyRecipe(short_side=128, crf=20)]
    assert len({recipe_id(recipe).rpartition("-")[2] for recipe in (RECIPE, *others)}) == 3


@pytest.mark.parametrize(
    ("name", "value"), [("FORMAT_VERSION", 2), ("GOP", 16), ("ENCODER_OPTIONS", {}), ("ENCODER", "libx265")]
)
def test_recipe_id_changes_with_all_that_decides_the_bytes(name, value, monkeypatch):
    before = recipe_id(RECIPE)
    monkeypatch.setattr(copy_recipe, name, value)
    assert recipe_id(RECIPE) != before


def test_a_copy_lies_where_its_source_s_content_says():
    assert copy_path(Path("copies"), "ab" * 32, RECIPE) == Path("copies", recipe_id(RECIPE), "ab", "ab" * 32 + ".mp4")


@pytest.mark.parametrize("settings", [dict(short_side=127), dict(short_side=8), dict(short_side=128, crf=24)])
def test_recipes_that_no_copy_could_follow_are_refused(settings):
    with pytest.raises(ValidationError):
        CopyRecipe(**settings)


def test_the_documented_copies_are_a_data_set_s():
    example = re.search(r"```yaml\n(.*?)```", (ROOT / "docs/prepared-copies.md").read_text(), re.DOTALL).group(1)
    (dataset,) = yaml.safe_load(example)["datasets"].values()
    assert DatasetConfig(**dataset).copies.recipe == CopyRecipe(short_side=240, crf=18)
