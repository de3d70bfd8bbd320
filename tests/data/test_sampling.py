import numpy as np
import pytest

from dynamonet.data.sampling import epoch_order, generator, random_clip, span, uniform_clips


def test_draws_depend_on_every_key_and_on_nothing_else():
    draw = generator(0, 1, "video", "crop").random()
    assert draw == generator(0, 1, "video", "crop").random()
    others = [
        (1, 1, "video", "crop"),
        (0, 2, "video", "crop"),
        (0, 1, "other", "crop"),
        (0, 1, "video", "clip"),
    ]
    assert draw not in [generator(*keys).random() for keys in others]
    assert generator("a", "bc").random() != generator("ab", "c").random()


def test_draws_are_the_same_on_every_machine():
    assert generator(0, 0, "video", "clip").integers(1_000_000) == 617854


@pytest.mark.parametrize("video_frames", [1, 5, 31, 32, 300])
@pytest.mark.parametrize("stride", [1, 2])
def test_random_clip_stays_inside_and_loops(video_frames, stride):
    for key in range(50):
        clip = random_clip(video_frames, 16, stride, generator(key))
        assert clip.shape == (16,)
        assert clip.min() >= 0 and clip.max() < video_frames
        assert set(np.diff(clip) % video_frames) == {stride % video_frames}


def test_random_clip_reaches_both_ends():
    starts = {random_clip(20, 16, 1, generator(key))[0] for key in range(200)}
    assert starts == {0, 1, 2, 3, 4}


def test_uniform_clips():
    assert [clip[0] for clip in uniform_clips(100, 10, 1, 3)] == [0, 45, 90]
    assert uniform_clips(100, 10, 1, 1)[0].tolist() == list(range(45, 55))
    assert uniform_clips(3, 5, 1, 2)[1].tolist() == [0, 1, 2, 0, 1]
    assert span(16, 2) == 31


@pytest.mark.parametrize("video_frames", [1, 5, 30, 31, 300])
def test_a_padded_clip_holds_the_last_frame_of_a_video_that_is_shorter(video_frames):
    for key in range(20):
        clip = random_clip(video_frames, 16, 2, generator(key), "pad")
        looped = random_clip(video_frames, 16, 2, generator(key), "loop")
        if video_frames >= span(16, 2):
            assert clip.tolist() == looped.tolist()
        else:
            assert clip.tolist() == [min(2 * frame, video_frames - 1) for frame in range(16)]
    assert uniform_clips(3, 5, 1, 2, "pad").tolist() == [[0, 1, 2, 2, 2]] * 2
    assert uniform_clips(6, 5, 1, 2, "pad").tolist() == uniform_clips(6, 5, 1, 2).tolist()


def test_epoch_order_is_a_permutation_of_its_own():
    assert sorted(epoch_order(10, 0, 0)) == list(range(10))
    assert epoch_order(10, 0, 0).tolist() != epoch_order(10, 0, 1).tolist()
    assert epoch_order(10, 0, 0).tolist() == epoch_order(10, 0, 0).tolist()
