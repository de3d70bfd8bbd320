import pytest
import torch
import torch.nn.functional as F

from dynamonet.models.filter_operator import apply_dynamic_filters


def filtered_one_by_one(frames, filters):
    """Independent reference: every sample, frame, channel and tap in a loop."""
    n, _, t, h, w = frames.shape
    k = filters.shape[-1]
    out = torch.zeros_like(frames)
    for sample in range(n):
        for frame in range(t):
            padded = F.pad(frames[sample, :, frame], (k // 2,) * 4, mode="replicate")
            for i in range(k):
                for j in range(k):
                    out[sample, :, frame] += filters[sample, frame, i, j] * padded[:, i : i + h, j : j + w]
    return out


@pytest.mark.parametrize("size", [3, 5])
def test_equals_the_reference_in_value_and_gradient(size):
    torch.manual_seed(0)
    frames = torch.rand(2, 3, 4, 9, 7, dtype=torch.float64, requires_grad=True)
    filters = torch.randn(2, 4, size, size, dtype=torch.float64, requires_grad=True)
    weight = torch.rand_like(frames)
    gradients = []
    for function in (apply_dynamic_filters, filtered_one_by_one):
        out = function(frames, filters)
        gradients.append((out.detach(), *torch.autograd.grad((out * weight).sum(), (frames, filters))))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_gradients_are_exact():
    frames = torch.rand(1, 2, 2, 5, 4, dtype=torch.float64, requires_grad=True)
    filters = torch.randn(1, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(apply_dynamic_filters, (frames, filters))


def test_a_shifted_delta_moves_the_frame():
    frames = torch.rand(1, 3, 1, 8, 8)
    filters = torch.zeros(1, 1, 3, 3)
    filters[0, 0, 1, 0] = 1  # takes each pixel from its left neighbour: the picture moves right
    moved = apply_dynamic_filters(frames, filters)
    torch.testing.assert_close(moved[..., 1:], frames[..., :-1])
