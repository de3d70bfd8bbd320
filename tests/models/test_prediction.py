import pytest
import torch
import torch.nn.functional as F

from dynamonet.models.filter_generator import FilterShape
from dynamonet.models.filter_operator import apply_dynamic_filters
from dynamonet.models.prediction import predict_frames, predict_future


def filters_moving(right: int, size: int) -> torch.Tensor:
    """A filter (1, 1, 1, k, k) that moves a frame right by so many pixels."""
    filters = torch.zeros(1, 1, 1, size, size)
    filters[..., size // 2, size // 2 - right] = 1
    return filters


def bump(centre: int, side: int = 32) -> torch.Tensor:
    """A smooth frame (1, 1, 1, side, side)."""
    x = torch.arange(side, dtype=torch.float64)
    row = torch.exp(-(((x - centre) / 4) ** 2) / 2)
    column = torch.exp(-(((x - side / 2) / 4) ** 2) / 2)
    return (column[:, None] * row).expand(1, 1, 1, side, side)


def best_psnr_db(frame: torch.Tensor, target: torch.Tensor, scales: int, size: int) -> float:
    """PSNR of the best prediction that any filters of so many scales can make: prediction is linear in them."""
    weights = torch.eye(scales * size**2, dtype=frame.dtype).view(-1, 1, scales, 1, size, size)
    predictions = predict_frames(frame.expand(len(weights), -1, -1, -1, -1), weights).flatten(1).T
    best = torch.linalg.lstsq(predictions, target.reshape(-1, 1)).solution
    return -10 * (predictions @ best - target.reshape(-1, 1)).square().mean().log10().item()


@pytest.mark.parametrize("scales", [1, 2, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_identity_filters_give_the_frame_back(scales, channels):
    torch.manual_seed(0)
    frames = torch.rand(2, 3, 4, 12, 20)
    shape = FilterShape(5, scales, channels)
    filters = shape.identity().expand(2, 4, *shape.dimensions)
    torch.testing.assert_close(predict_frames(frames, filters), frames)


def test_one_scale_is_the_operator_itself():
    torch.manual_seed(0)
    frames, filters = torch.rand(2, 3, 4, 9, 7), torch.randn(2, 4, 1, 3, 5, 5)
    assert torch.equal(predict_frames(frames, filters), apply_dynamic_filters(frames, filters[:, :, 0]))
    shared = filters[:, :, :, :1]
    assert torch.equal(predict_frames(frames, shared), apply_dynamic_filters(frames, shared[:, :, 0, 0]))


def test_levels_are_means_of_squares_and_bilinear_interpolations():
    torch.manual_seed(0)
    frames = torch.rand(2, 3, 4, 8, 12)
    filters = FilterShape(3, 2).identity().repeat(2, 4, 1, 1, 1, 1)
    filters[:, :, 0] = 0  # keep the coarse level alone
    flat = frames.flatten(1, 2)
    expected = F.interpolate(F.avg_pool2d(flat, 2), scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(predict_frames(frames, filters).flatten(1, 2), expected)


def test_coarse_filters_reach_further_than_fine_ones_of_the_same_size():
    frame, moved = bump(12), bump(20)  # 8 pixels: the reach of a 5 x 5 filter at a quarter of the size
    assert best_psnr_db(frame, moved, scales=1, size=5) < 25
    assert best_psnr_db(frame, moved, scales=3, size=5) > 40


def test_gradients_are_exact_and_reach_every_filter_of_every_scale():
    torch.manual_seed(0)
    frames = torch.rand(1, 3, 2, 8, 8, dtype=torch.float64, requires_grad=True)
    filters = torch.randn(1, 2, 3, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(predict_frames, (frames, filters), fast_mode=True)
    (gradient,) = torch.autograd.grad(predict_frames(frames, filters).sin().sum(), filters)
    assert (gradient.abs().sum((-2, -1)) > 0).all()


def test_the_future_is_the_last_motion_going_on():
    frame = torch.zeros(1, 3, 8, 16)
    frame[..., 4, 3] = 1
    future = predict_future(frame, filters_moving(right=2, size=5), steps=4)
    assert future.shape == (1, 3, 4, 8, 16)
    for step in range(4):
        assert torch.equal(future[:, :, step], frame.roll(2 * (step + 1), dims=-1))


def test_frames_that_cannot_be_halved_are_refused():
    with pytest.raises(ValueError, match="multiples of 4 pixels, not 8 x 10"):
        predict_frames(torch.rand(1, 3, 2, 8, 10), torch.rand(1, 2, 3, 1, 3, 3))
