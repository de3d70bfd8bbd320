import numpy as np
import pytest
import torch

from dynamonet.engine.mixing import mix
from dynamonet.recipe import Recipe

LABELS = torch.tensor([2, 0, 1])
# Each clip is one grey value: a mixture shows its proportions.
GREY = torch.tensor([0.0, 10.0, 20.0]).view(3, 1, 1, 1, 1).expand(3, 3, 4, 9, 13)
RANDOM = torch.rand(3, 3, 4, 9, 13, generator=torch.Generator().manual_seed(0))


def mixed(video, seed, **settings):
    recipe = Recipe(steps=1, batch_size=2, learning_rate=0.1, **settings)
    return mix(video, LABELS, 4, recipe, np.random.default_rng(seed))


def test_a_recipe_that_asks_for_neither_leaves_the_batch_alone():
    rng = np.random.default_rng(0)
    video, labels = mix(RANDOM, LABELS, 4, Recipe(steps=1, batch_size=2, learning_rate=0.1), rng)
    assert video is RANDOM
    assert labels is LABELS
    assert rng.random() == np.random.default_rng(0).random()


def test_mixup_mixes_clips_and_labels_in_one_proportion():
    share = np.random.default_rng(5).beta(0.4, 0.4)
    video, labels = mixed(RANDOM, 5, mixup=0.4)
    for n in range(3):
        torch.testing.assert_close(video[n], share * RANDOM[n] + (1 - share) * RANDOM[n - 1])
    expected = torch.zeros(3, 4)
    for n in range(3):
        expected[n, LABELS[n]] += share
        expected[n, LABELS[n - 1]] += 1 - share
    torch.testing.assert_close(labels, expected)
    assert labels.sum(1).tolist() == pytest.approx([1] * 3)


def test_cutmix_weighs_labels_by_the_exact_area():
    shares = set()
    for seed in range(200):
        video, labels = mixed(GREY, seed, cutmix=1.0)
        own = video == GREY
        other = video == GREY.roll(1, 0)
        assert torch.all(own ^ other)
        share = own.float().mean().item()
        assert labels[0].tolist() == pytest.approx([0, 1 - share, share, 0], abs=1e-6)
        shares.add(round(share, 4))
    assert len(shares) > 20


def test_the_box_of_cutmix_is_one_rectangle_in_all_clips_frames_and_channels():
    sizes = set()
    for seed in range(50):
        video, _ = mixed(RANDOM, seed, cutmix=1.0)
        cut = video != RANDOM
        box = cut[0, 0, 0]
        assert torch.all(cut == box)
        assert torch.equal(video[..., box], RANDOM.roll(1, 0)[..., box])
        rows, columns = box.any(1), box.any(0)
        assert torch.equal(box, rows[:, None] & columns)
        assert rows.diff().sum() <= 2
        assert columns.diff().sum() <= 2
        sizes.add((rows.sum().item(), columns.sum().item()))
    assert len(sizes) > 10


def test_the_box_has_the_size_that_was_drawn_and_reaches_every_border():
    touched = torch.zeros(9, 13, dtype=torch.bool)
    for seed in range(100):
        rng = np.random.default_rng(seed)
        side, row, column = np.sqrt(1 - rng.beta(0.5, 0.5)), rng.integers(9), rng.integers(13)
        height, width = int(9 * side), int(13 * side)
        expected = torch.zeros(9, 13, dtype=torch.bool)
        top, left = row - height // 2, column - width // 2
        expected[max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)] = True
        video, _ = mixed(GREY, seed, cutmix=0.5)
        assert torch.equal((video != GREY)[0, 0, 0], expected)
        touched |= expected
    assert touched.all()


def test_with_both_each_has_half_the_steps():
    by_cutmix = 0
    for seed in range(400):
        video, _ = mixed(GREY, seed, mixup=1.0, cutmix=1.0)
        by_cutmix += bool(torch.all((video == GREY) | (video == GREY.roll(1, 0))))
    assert 160 < by_cutmix < 240


@pytest.mark.parametrize("settings", [{"mixup": 0.3}, {"cutmix": 0.3}, {"mixup": 0.3, "cutmix": 0.3}])
def test_the_generator_alone_decides(settings):
    torch.manual_seed(0)
    first = mixed(RANDOM, 1, **settings)
    torch.manual_seed(1)
    again = mixed(RANDOM, 1, **settings)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], mixed(RANDOM, 2, **settings)[0])


@pytest.mark.parametrize("settings", [{"mixup": 1.0}, {"cutmix": 1.0}])
def test_the_batch_that_was_given_is_not_changed(settings):
    before = RANDOM.clone()
    video, _ = mixed(RANDOM, 0, **settings)
    assert torch.equal(RANDOM, before)
    assert not torch.equal(video, before)


@pytest.mark.parametrize("settings", [{"mixup": 1.0}, {"cutmix": 1.0}])
def test_the_memory_format_is_kept(settings):
    video, _ = mixed(RANDOM.to(memory_format=torch.channels_last_3d), 0, **settings)
    assert video.is_contiguous(memory_format=torch.channels_last_3d)
    assert torch.equal(video, mixed(RANDOM, 0, **settings)[0])


@pytest.mark.parametrize("settings", [{"mixup": 1.0}, {"cutmix": 1.0}])
def test_a_clip_alone_stays_what_it_is(settings):
    recipe = Recipe(steps=1, batch_size=2, learning_rate=0.1, **settings)
    video, labels = mix(RANDOM[:1], LABELS[:1], 4, recipe, np.random.default_rng(0))
    torch.testing.assert_close(video, RANDOM[:1])
    assert labels.tolist() == [[0, 0, 1, 0]]
