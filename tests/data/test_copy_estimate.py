import numpy as np
import pytest

from dynamonet.data import copy_estimate
from dynamonet.data.copy_estimate import estimate
from dynamonet.data.copy_recipe import CopyRecipe
from dynamonet.data.encoding import encode
from dynamonet.errors import UserError

RECIPE = CopyRecipe(short_side=32)


@pytest.fixture
def sources(tmp_path):
    """Four videos of 2, 4, 6 and 8 frames."""
    paths = [tmp_path / f"{frames}.avi" for frames in (2, 4, 6, 8)]
    for path in paths:
        pixels = np.random.default_rng(0).integers(90, 160, (int(path.stem), 32, 48, 3), np.uint8)
        encode(path, pixels, "xvid", 25)
    return paths


def test_all_videos_together_take_what_each_takes(sources):
    alone = [estimate([path], RECIPE) for path in sources]
    together = estimate(sources, RECIPE)
    assert together.gigabytes == pytest.approx(sum(one.gigabytes for one in alone))
    assert together.psnr_min_db == min(one.psnr_min_db for one in alone)
    assert together.psnr_mean_db == pytest.approx(np.mean([one.psnr_mean_db for one in alone]))
    assert together.core_hours > 0


def test_a_few_videos_stand_for_all(sources, monkeypatch):
    monkeypatch.setattr(copy_estimate, "SAMPLED_VIDEOS", 2)
    first = estimate(sources, RECIPE)
    assert (first.videos, first.sampled) == (4, 2)
    assert estimate(sources[::-1], RECIPE).gigabytes == first.gigabytes  # the same two, whatever the order
    assert estimate(sources, RECIPE, total_frames=20_000).gigabytes == pytest.approx(
        1000 * estimate(sources, RECIPE, total_frames=20).gigabytes
    )


def test_videos_that_cannot_be_read_are_counted(sources, tmp_path):
    (tmp_path / "text.avi").write_text("no video")
    found = estimate([*sources, tmp_path / "text.avi", tmp_path / "missing.avi"], RECIPE)
    assert (found.videos, found.sampled, found.unreadable) == (6, 4, 2)
    assert "(2 more could not be read)" in str(found)


def test_the_text_says_what_to_expect(sources):
    text = str(estimate(sources, RECIPE))
    for part in ("4 copies", "short side 32", "crf 18", "GB", "core-hours", "dB", "from 4 videos"):
        assert part in text
    assert "could not be read" not in text


def test_no_readable_video_is_an_error(tmp_path):
    with pytest.raises(UserError, match="None of the 1 videos"):
        estimate([tmp_path / "missing.avi"], RECIPE)
