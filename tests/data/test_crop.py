import pickle

import numpy as np
import pytest

from dynamonet.data.crop import Box, around, training_box, view_boxes
from dynamonet.data.sampling import generator
from dynamonet.recipe import Recipe

SIZES = [(240, 320), (320, 240), (64, 64), (33, 500), (17, 16)]


def draws(size, side=32, count=300, **settings) -> list[Box]:
    box = training_box(Recipe(steps=1, batch_size=2, learning_rate=1, **settings), side)
    return [box(*size, generator(key)) for key in range(count)]


KINDS = {
    "random": dict(crop_scales=(1.0, 0.5)),
    "corners": dict(crop="corners", crop_scales=(1.0, 0.5)),
    "resized": dict(crop="resized"),
    "jitter": dict(crop="jitter", crop_short_side=(32, 40)),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("settings", KINDS.values(), ids=KINDS)
def test_every_box_lies_in_the_frame_and_is_the_same_when_drawn_again(size, settings):
    boxes = draws(size, **settings)
    for box in boxes:
        assert box.top >= 0 and box.left >= 0 and box.height >= 1 and box.width >= 1
        assert box.top + box.height <= size[0] and box.left + box.width <= size[1]
        assert all(type(number) is int for number in box)
    assert boxes == draws(size, **settings)
    assert len(set(boxes)) > 1


def test_random_squares_reach_every_edge():
    boxes = draws((60, 80), count=3000, crop_scales=(0.5,))
    assert {box[2:] for box in boxes} == {(30, 30)}
    assert {box.top for box in boxes} == set(range(31))
    assert {box.left for box in boxes} == set(range(51))


def test_corner_squares_are_in_the_four_corners_and_the_centre_in_even_numbers():
    boxes = draws((60, 80), count=1000, crop="corners", crop_scales=(1.0, 0.5))
    half = [box[:2] for box in boxes if box.height == 30]
    assert 400 < len(half) < 600
    counts = {place: half.count(place) / len(half) for place in set(half)}
    assert counts.keys() == {(15, 25), (0, 0), (0, 50), (30, 0), (30, 50)}
    assert all(0.1 < count < 0.3 for count in counts.values())
    assert {box[:2] for box in boxes if box.height == 60} == {(0, 10), (0, 0), (0, 20)}


def test_resized_boxes_have_the_areas_and_aspects_asked_for():
    boxes = draws((240, 320), count=1000, crop="resized", crop_area=(0.1, 0.3), crop_aspect=(0.5, 1.5))
    areas = np.array([box.height * box.width for box in boxes]) / (240 * 320)
    aspects = np.array([box.width / box.height for box in boxes])
    assert 0.09 < areas.min() < 0.11 and 0.29 < areas.max() < 0.31
    assert 0.49 < aspects.min() < 0.53 and 1.42 < aspects.max() < 1.52
    # The middle of the log, not of the aspect.
    assert abs(np.median(np.log(aspects)) - np.log(0.5 * 1.5) / 2) < 0.08


@pytest.mark.parametrize(("size", "expected"), [((20, 400), (0, 186, 20, 27)), ((400, 20), (186, 0, 27, 20))])
def test_where_no_resized_box_fits_the_centre_is_taken(size, expected):
    boxes = draws(size, crop="resized", crop_area=(0.9, 1.0), count=10)
    assert set(boxes) == {expected}


def test_jittered_squares_are_what_a_crop_shows_of_a_rescaled_frame():
    for short_side in (256, 128):
        boxes = draws((short_side, 340), side=224, count=2000, crop="jitter")
        assert {box.height for box in boxes} == {round(short_side * 224 / scaled) for scaled in range(256, 321)}


def test_what_draws_boxes_crosses_to_worker_processes():
    box = training_box(Recipe(steps=1, batch_size=2, learning_rate=1, crop="corners", crop_scales=(0.7,)), 32)
    assert pickle.loads(pickle.dumps(box))(60, 80, generator(1)) == box(60, 80, generator(1))


@pytest.mark.parametrize(
    ("size", "short_side", "expected"),
    [
        ((256, 340), None, [(0, 0, 256), (0, 42, 256), (0, 84, 256)]),
        ((340, 256), None, [(0, 0, 256), (42, 0, 256), (84, 0, 256)]),
        ((256, 340), 256, [(16, 0, 224), (16, 58, 224), (16, 116, 224)]),
        ((340, 256), 256, [(0, 16, 224), (58, 16, 224), (116, 16, 224)]),
        # Three crops of a square frame lie along its width, as in PySlowFast.
        ((256, 256), 256, [(16, 0, 224), (16, 16, 224), (16, 32, 224)]),
        ((128, 170), 256, [(8, 0, 112), (8, 29, 112), (8, 58, 112)]),
    ],
)
def test_views_are_cut_from_the_centre_and_both_ends_of_the_long_side(size, short_side, expected):
    assert view_boxes(*size, 3, 224, short_side) == [Box(top, left, side, side) for top, left, side in expected]
    assert view_boxes(*size, 1, 224, short_side) == view_boxes(*size, 3, 224, short_side)[1:2]


def test_boxes_around_and_within():
    boxes = [Box(2, 10, 5, 5), Box(4, 3, 6, 4)]
    outer = around(boxes)
    assert outer == (2, 3, 8, 12)
    frames = np.arange(20 * 30).reshape(1, 20, 30, 1)
    for box in boxes:
        np.testing.assert_array_equal(box.within(outer).of(outer.of(frames)), box.of(frames))


def test_a_box_is_found_again_on_another_grid():
    assert Box(10, 20, 30, 40).on((100, 200), (50, 100)) == (5, 10, 15, 20)
    assert Box(70, 170, 30, 30).on((100, 200), (33, 66)) == (23, 56, 10, 10)
    assert Box(0, 0, 1, 1).on((100, 200), (33, 66)) == (0, 0, 1, 1)


@pytest.mark.parametrize(
    ("size", "frame", "box"),
    [
        ((256, 340), (128, 171), Box(16, 58, 224, 223)),
        ((256, 454), (128, 171), Box(16, 78, 224, 297)),  # a wide video is squeezed
        ((480, 360), (256, 256), Box(135, 101, 210, 158)),
    ],
)
def test_frames_scaled_without_their_aspect_are_cut_in_boxes_that_are_no_squares(size, frame, box):
    assert view_boxes(*size, 1, 112, frame=frame) == [box]
    ends = view_boxes(*size, 3, 112, frame=frame)
    assert ends[1] == box and ends[0].left == 0 and ends[2].left + ends[2].width == size[1]
