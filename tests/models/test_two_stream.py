import pytest
import torch

from dynamonet.errors import UserError
from dynamonet.measure.cost import count_cost
from dynamonet.models import optical_flow
from dynamonet.models.card import Clip
from dynamonet.models.catalogue import check_options, default_options, model_module
from dynamonet.models.classifier import build_classifier
from dynamonet.models.two_stream import stored_flow

CLIP = Clip(frames=8, crop=32)
SHORT = Clip(frames=2, crop=32)
"""Two frames are one pair for RAFT, which is slow."""
SMALL = {"depth": 10, "width": 4, "stem_frames": 3}
PLAIN = {**SMALL, "prediction": False, "dmr_features": 0}


def build(name="two_stream_stored", options=SMALL, clip=CLIP, **more):
    torch.manual_seed(0)
    return build_classifier(name, 5, {**options, **more}, clip)


def clip(channels=5, frames=8):
    return torch.rand(2, channels, frames, 32, 32, generator=torch.Generator().manual_seed(1))


def test_stored_flow_is_read_back():
    channels = torch.tensor([1, 128, 255], dtype=torch.uint8).view(1, 1, 1, 1, 3).expand(1, 2, 1, 1, 3)
    video = torch.cat([torch.zeros(1, 3, 1, 1, 3), channels.float() / 255], 1)
    torch.testing.assert_close(stored_flow(video)[0, 0, 0, 0], torch.tensor([-1.0, 0.0, 1.0]))


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_logits_are_the_weighted_mean_of_the_streams(weight):
    model, video = build(flow_weight=weight).eval(), clip()
    rgb, flow = model.net.rgb(video[:, :3]), model.net.flow(stored_flow(video))
    assert not torch.allclose(rgb.logits, flow.logits)
    torch.testing.assert_close(model(video).logits, (1 - weight) * rgb.logits + weight * flow.logits)


def test_frames_are_predicted_by_the_stream_on_frames():
    model, video = build().eval(), clip()
    output, rgb = model(video), model.net.rgb(video[:, :3])
    assert torch.equal(output.predicted_frames, rgb.predicted_frames)
    assert torch.equal(output.filters, rgb.filters)
    assert torch.equal(model.motion_representation(video), model.net.rgb.motion_representation(video[:, :3]))
    assert output.representation.shape[1] == model.net.rgb.fc.in_features + model.net.flow.fc.in_features


def test_classification_trains_both_streams_and_prediction_the_one_on_frames():
    model = build()
    output = model(clip())
    # not zero where the filters are still the identity
    output.predicted_frames.square().mean().backward(retain_graph=True)
    assert model.net.rgb.generator.last.bias.grad.abs().sum() > 0
    assert all(p.grad is None for p in model.net.flow.parameters())
    output.logits.square().sum().backward()
    for stream in (model.net.rgb, model.net.flow):
        assert stream.backbone.conv1.weight.grad.abs().sum() > 0


def test_the_stream_on_flow_is_the_plain_backbone_with_a_stem_of_two_channels():
    streams = build().net
    plain = build("dynamonet", PLAIN).net
    shapes = {key: value.shape for key, value in streams.flow.state_dict().items()}
    expected = {key: value.shape for key, value in plain.state_dict().items()}
    stem = expected.pop("backbone.conv1.weight")
    assert shapes.pop("backbone.conv1.weight") == (stem[0], 2, *stem[2:])
    assert shapes == expected


def test_the_stream_on_flow_gets_flow_as_it_is():
    model, flow = build().eval(), clip(2) * 2 - 1
    features = model.net.flow.backbone(flow)[-1].mean((-3, -2, -1))
    torch.testing.assert_close(model.net.flow(flow).representation, features)


def test_cost_is_that_of_two_backbones_less_a_channel_of_the_stem():
    one, two = build("dynamonet", PLAIN), build(options=PLAIN)
    video = clip()[:1]
    difference = 2 * count_cost(one, video[:, :3]).gmacs_per_clip - count_cost(two, video).gmacs_per_clip
    kernel, positions = 3 * 7 * 7, 8 * 16 * 16
    assert difference * 1e9 == pytest.approx(4 * kernel * positions)


@pytest.mark.parametrize("name", ["two_stream_stored", "two_stream_raft"])
def test_the_stream_on_frames_starts_as_dynamonet_does(raft_weights, name):
    state = build(name).net.rgb.state_dict()
    alone = build("dynamonet").net.state_dict()
    assert state.keys() == alone.keys()
    assert all(torch.equal(state[key], alone[key]) for key in alone)


def test_raft_gives_what_else_is_stored(monkeypatch):
    video = clip()

    class FakeRaft:
        def __call__(self, frames):
            assert torch.equal(frames, video[:, :3])
            return stored_flow(video)

    monkeypatch.setattr(optical_flow, "Raft", FakeRaft)
    torch.testing.assert_close(build("two_stream_raft").eval()(video[:, :3]).logits, build().eval()(video).logits)


def test_raft_is_no_part_of_the_weights_and_is_not_trained(raft_weights):
    model = build("two_stream_raft", PLAIN, SHORT)
    assert model.state_dict().keys() == build(options=PLAIN).state_dict().keys()
    raft = model.net.flow_of
    before = {key: value.clone() for key, value in raft.net.state_dict().items()}
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    model.train()
    model(clip(3, 2)).logits.square().sum().backward()
    optimiser.step()
    assert not raft.net.training
    assert all(torch.equal(value, before[key]) for key, value in raft.net.state_dict().items())


def test_the_cost_of_raft_counts(raft_weights):
    stored = count_cost(build(options=PLAIN, clip=SHORT), clip(5, 2)[:1])
    computed = count_cost(build("two_stream_raft", PLAIN, SHORT), clip(3, 2)[:1])
    # of one pair of 128 x 128 pixels
    assert computed.gmacs_per_clip - stored.gmacs_per_clip == pytest.approx(2.863, rel=1e-3)
    assert computed.parameters_m == stored.parameters_m


def test_a_model_built_on_the_meta_device_loads_no_raft_there(raft_weights):
    with torch.device("meta"):
        model = build("two_stream_raft", PLAIN)
    assert model.net.rgb.fc.weight.is_meta
    assert not model.net.flow_of.net.feature_encoder.conv.weight.is_meta


def test_options_are_dynamonets_and_the_weight():
    for name in ("two_stream_stored", "two_stream_raft"):
        assert default_options(name) == {"flow_weight": 0.5, **default_options("dynamonet")}
        with pytest.raises(UserError, match="no option 'fusion'"):
            check_options(name, {"fusion": "mean"}, CLIP)


def test_impossible_options_are_refused(raft_weights):
    for wrong, said in (
        ({"flow_weight": 1.5}, r"flow_weight must be in \[0, 1\]"),
        ({"depth": 11}, "depth must be one"),
    ):
        for name in ("two_stream_stored", "two_stream_raft"):
            with pytest.raises(UserError, match=f"model '{name}': {said}"):
                check_options(name, wrong, CLIP)
            with pytest.raises(ValueError, match=said):
                model_module(name).build(5, CLIP, **{**SMALL, **wrong})
    with pytest.raises(ValueError, match=r"clip\.frames is 1"):
        model_module("two_stream_raft").build(5, Clip(frames=1, crop=32))
    with pytest.raises(UserError, match=r"clip\.frames is 1"):
        build_classifier("two_stream_raft", 5, SMALL, Clip(frames=1, crop=32))
