import pytest
import torch

from dynamonet.errors import UserError
from dynamonet.models.card import Clip
from dynamonet.models.classifier import build_classifier
from dynamonet.models.filter_generator import FilterShape
from dynamonet.models.network import MotionRepresentation

CLIP = Clip(frames=8, crop=32)
SHAPE = FilterShape(5)
SMALL = {"depth": 10, "width": 4, "stem_frames": 3}


def build(**options):
    torch.manual_seed(0)
    return build_classifier("dynamonet", 5, {**SMALL, **options}, CLIP)


def test_predicts_every_next_frame_and_starts_by_copying():
    video = torch.rand(2, 3, 8, 32, 32)
    output = build()(video)
    assert output.logits.shape == (2, 5)
    assert output.filters.shape == (2, 8, 1, 1, 5, 5)
    torch.testing.assert_close(output.predicted_frames, video)


def test_filters_per_colour_and_scale_start_by_copying_too():
    video = torch.rand(2, 3, 8, 32, 32)
    output = build(filter_per_channel=True, filter_scales=3, filter_size=3)(video)
    assert output.filters.shape == (2, 8, 3, 3, 3, 3)
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
    filters = SHAPE.identity().repeat(2, 8, 1, 1, 1, 1)
    filters[:, 3] = torch.randn(2, *SHAPE.dimensions)
    later = filters.roll(1, dims=1)
    for projected in (16, 0):
        for pooling, same in (("mean", True), ("flatten", False)):
            dmr = MotionRepresentation(8, SHAPE, projected, pooling).eval()
            assert torch.allclose(dmr(filters), dmr(later), atol=1e-6) == same


def test_identity_filters_are_a_silent_representation():
    filters = SHAPE.identity().repeat(4, 8, 1, 1, 1, 1)
    noise = 1e-4 * torch.randn(filters.shape)
    for pooling in ("mean", "flatten"):
        assert MotionRepresentation(8, SHAPE, 16, pooling)(filters + noise).abs().max() < 0.05


@pytest.mark.parametrize(("pooling", "vectors"), [("mean", 1), ("flatten", 8)])
def test_without_projection_the_filters_themselves_join_the_pooled_features(pooling, vectors):
    model = build(dmr_projected=False, dmr_pooling=pooling, filter_scales=2, filter_per_channel=True)
    pooled, d = 8 * SMALL["width"], 2 * 3 * 25
    assert model.net.fc.in_features == pooled + vectors * d
    assert model(torch.rand(2, 3, 8, 32, 32)).representation.shape == (2, pooled + vectors * d)
    assert not any(name.startswith("dmr") for name, _ in model.net.named_parameters())


@pytest.mark.parametrize("pooling", ["mean", "flatten"])
def test_the_dmr_changes_the_scores(pooling):
    model = build(dmr_pooling=pooling).eval()
    video = torch.rand(1, 3, 8, 32, 32)
    before = model(video).logits
    with torch.no_grad():
        model.net.generator.last.bias += torch.randn(25)
    assert not torch.allclose(before, model(video).logits)


def test_the_motion_representation_is_the_filters_of_each_frame_as_a_vector():
    model = build(filter_scales=2).eval()
    torch.nn.init.normal_(model.net.generator.last.weight)
    video = torch.rand(2, 3, 8, 32, 32)
    motion = model.motion_representation(video)
    assert motion.shape == (2, 8, 2 * 25)
    assert torch.equal(motion, model(video).filters.flatten(2))


def test_a_model_without_filters_has_no_motion_representation():
    video = torch.rand(2, 3, 8, 32, 32)
    with pytest.raises(UserError, match="generates no filters"):
        build(prediction=False, dmr_features=0).motion_representation(video)
    with pytest.raises(UserError, match="has no motion representation"):
        build_classifier("slow_r50", 5, {"width": 8}, CLIP).motion_representation(video)


@pytest.mark.parametrize("detached", [False, True])
def test_prediction_reaches_the_backbone_unless_the_features_are_detached(detached):
    model = build(features_detached=detached)
    torch.nn.init.normal_(model.net.generator.last.weight)
    model(torch.rand(2, 3, 8, 32, 32)).predicted_frames.square().sum().backward()
    assert model.net.generator.mix[0].weight.grad.abs().sum() > 0
    reached = [p.grad is not None for p in model.net.backbone.parameters()]
    assert all(reached) if not detached else not any(reached)


def test_static_filters_see_no_video():
    model = build(filter_source="static", filter_scales=2).eval()
    torch.nn.init.normal_(model.net.generator.raw)
    one, other = (model(torch.rand(1, 3, 8, 32, 32)) for _ in range(2))
    assert torch.equal(one.filters, other.filters)
    assert not torch.equal(one.predicted_frames, other.predicted_frames)


def test_a_clip_of_another_length_is_refused():
    with pytest.raises(ValueError, match="8 frames"):
        build()(torch.rand(2, 3, 6, 32, 32))


def test_bottleneck_depths_build():
    model = build_classifier("dynamonet", 5, {"depth": 50, "width": 4}, CLIP)
    assert model(torch.rand(2, 3, 8, 32, 32)).logits.shape == (2, 5)
