import pytest
import torch

from dynamonet.errors import UserError
from dynamonet.models.card import Clip
from dynamonet.models.classifier import build_classifier
from dynamonet.models.network import MotionRepresentation

CLIP = Clip(frames=8, crop=32)
SMALL = {"depth": 10, "width": 4, "stem_frames": 3}


def build(**options):
    torch.manual_seed(0)
    return build_classifier("dynamonet", 5, {**SMALL, **options}, CLIP)


def test_predicts_every_next_frame_and_starts_by_copying():
    video = torch.rand(2, 3, 8, 32, 32)
    output = build()(video)
    assert output.logits.shape == (2, 5)
    assert output.filters.shape == (2, 8, 5, 5)
    torch.testing.assert_close(output.predicted_frames, video)


def test_without_prediction_and_dmr_it_is_the_plain_backbone():
    model = build(prediction=False, dmr_features=0)
    output = model(torch.rand(2, 3, 8, 32, 32))
    assert output.predicted_frames is None
    assert not any("generator" in name or "dmr" in name for name in model.state_dict())


@pytest.mark.parametrize(("detached", "reaches"), [(False, True), (True, False)])
def test_the_classifier_reaches_the_generator_through_the_dmr_unless_detached(detached, reaches):
    model = build(dmr_detached=detached)
    torch.nn.init.normal_(model.net.generator.last.weight)
    model(torch.rand(2, 3, 8, 32, 32)).logits.square().sum().backward()
    gradient = model.net.generator.last.weight.grad
    assert (gradient is not None and gradient.abs().sum() > 0) == reaches


def test_without_prediction_the_classifier_trains_the_filters():
    model = build(prediction=False)
    torch.nn.init.normal_(model.net.generator.last.weight)
    model(torch.rand(2, 3, 8, 32, 32)).logits.square().sum().backward()
    assert model.net.generator.last.weight.grad.abs().sum() > 0


def test_the_mean_over_time_does_not_see_when_and_the_flattened_vector_does():
    torch.manual_seed(0)
    filters = torch.zeros(2, 8, 5, 5)
    filters[..., 2, 2] = 1
    filters[:, 3] = torch.randn(2, 5, 5)
    later = filters.roll(1, dims=1)
    for pooling, same in (("mean", True), ("flatten", False)):
        dmr = MotionRepresentation(8, 5, 16, pooling).eval()
        assert torch.allclose(dmr(filters), dmr(later), atol=1e-6) == same


def test_identity_filters_are_a_silent_representation():
    filters = torch.zeros(4, 8, 5, 5)
    filters[..., 2, 2] = 1
    noise = 1e-4 * torch.randn(4, 8, 5, 5)
    for pooling in ("mean", "flatten"):
        assert MotionRepresentation(8, 5, 16, pooling)(filters + noise).abs().max() < 0.05


@pytest.mark.parametrize("pooling", ["mean", "flatten"])
def test_the_dmr_changes_the_scores(pooling):
    model = build(dmr_pooling=pooling).eval()
    video = torch.rand(1, 3, 8, 32, 32)
    before = model(video).logits
    with torch.no_grad():
        model.net.generator.last.bias += torch.randn(25)
    assert not torch.allclose(before, model(video).logits)


def test_a_clip_of_another_length_is_refused():
    with pytest.raises(ValueError, match="8 frames"):
        build()(torch.rand(2, 3, 6, 32, 32))


@pytest.mark.parametrize(
    "wrong", [{"depth": 11}, {"filter_size": 4}, {"filter_normalisation": "l2"}, {"dmr_pooling": "max"}]
)
def test_impossible_options_are_refused_in_one_sentence(wrong):
    with pytest.raises(UserError, match="refuses options"):
        build(**wrong)


def test_bottleneck_depths_build():
    model = build_classifier("dynamonet", 5, {"depth": 50, "width": 4}, CLIP)
    assert model(torch.rand(2, 3, 8, 32, 32)).logits.shape == (2, 5)
