import pytest
import torch

from dynamonet.data.resize import FRAMES_PER_PASS, resized, resized_by_sums


def pixels(*shape):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("channels", [3, 2])
@pytest.mark.parametrize("crop", [112, 37])
@pytest.mark.parametrize(
    "size",
    # Ratios of small integers are where sums lie halfway between two values.
    [(224, 224), (128, 128), (56, 56), (64, 140), (112, 50), (37, 113), (240, 171), (90, 200), (1, 2), (3, 700)],
)
def test_integer_sums_give_the_very_bytes_of_torch_s_resizing(size, crop, channels):
    frames = pixels(2, size[0] + 5, size[1] + 3, channels)[:, 2:-3, 1:-2]
    expected = torch.nn.functional.interpolate(
        frames.permute(0, 3, 1, 2).contiguous(), (crop, crop), mode="bilinear", antialias=True
    ).permute(0, 2, 3, 1)
    assert torch.equal(resized_by_sums(frames, crop), expected)
    assert torch.equal(resized(frames, crop), expected)


def test_every_size_gives_the_same_bytes():
    for side in range(20, 300, 7):
        frames = pixels(1, side, 2 * side, 3)
        assert torch.equal(resized_by_sums(frames, 64), resized(frames, 64)), side


def test_extremes_stay_what_they_are():
    for value in (0, 255):
        frames = torch.full((1, 300, 41, 3), value, dtype=torch.uint8)
        assert (resized_by_sums(frames, 112) == value).all()


def test_a_square_of_the_right_size_is_left_alone():
    frames = pixels(2, 32, 32, 3)
    assert resized(frames, 32) is frames


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_gives_the_same_bytes():
    frames = pixels(FRAMES_PER_PASS + 3, 180, 141, 3)
    assert torch.equal(resized(frames.cuda(), 112).cpu(), resized(frames, 112))
