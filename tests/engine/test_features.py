from types import SimpleNamespace

import pytest
import torch
from torch import nn

from dynamonet.engine.features import FeatureExtractor, mean_motion
from dynamonet.engine.weights import head_keys
from dynamonet.errors import UserError
from dynamonet.models.card import Clip
from dynamonet.models.catalogue import default_options, model_module
from dynamonet.models.classifier import Classifier, build_classifier

SMALL = {"depth": 10, "width": 4, "stem_frames": 3}
CLIP = Clip(frames=8, crop=32)


def built(name, options, clip=CLIP, device="cpu"):
    """A model with random weights everywhere, so that nothing is the identity, and the names of its classifier."""
    torch.manual_seed(0)
    options = {**default_options(name), **options}
    heads = head_keys(SimpleNamespace(build=name, options=options, clip=clip))
    with torch.device(device):
        model = build_classifier(name, 5, options, clip).eval()
    return model, heads


def clip(channels=3, frames=8, crop=32):
    return torch.rand(2, channels, frames, crop, crop, generator=torch.Generator().manual_seed(1))


def with_moving_filters(model):
    """Filters start as the identity: give them something to say."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("generator.last.weight"):
                parameter.normal_(0, 0.05)
    return model


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "options", "wanted"),
    [
        ("slow_r50", {"width": 8}, Clip(frames=4, crop=32)),
        ("x3d_xs", {}, Clip(frames=4, crop=160)),
        ("dynamonet", {**SMALL, "prediction": False, "dmr_features": 0}, CLIP),
    ],
)
def test_pooled_features_are_what_the_classifier_sees(name, options, wanted):
    model, heads = built(name, options, wanted)
    video = clip(frames=wanted.frames, crop=wanted.crop)
    features = FeatureExtractor(model, heads)(video)
    weight, bias = (model.net.state_dict()[key] for key in sorted(heads, reverse=True))
    # In the order of averaging and a linear layer there is no difference but rounding.
    torch.testing.assert_close(features["pooled"] @ weight.T + bias, model(video).logits, rtol=1e-4, atol=1e-5)
    assert set(features) == {"pooled"}


@torch.no_grad()
@pytest.mark.parametrize("more", [{}, {"dmr_features": 0}, {"dmr_pooling": "flatten"}])
def test_the_motion_representation_is_apart_from_the_pooled_features(more):
    model, heads = built("dynamonet", {**SMALL, **more})
    video = clip()
    features = FeatureExtractor(with_moving_filters(model), heads)(video)
    backbone = model.net.backbone((video - model.net.mean) / model.net.std)[-1].mean((-3, -2, -1))
    torch.testing.assert_close(features["pooled"], backbone)
    identity = model.net.generator.shape.identity().flatten()
    motion = (model.motion_representation(video) - identity).mean(1)
    torch.testing.assert_close(features["dmr"], motion)
    assert motion.abs().max() > 0.01


@torch.no_grad()
def test_two_streams_give_one_feature_after_the_other():
    model, heads = built("two_stream_stored", SMALL)
    video = clip(channels=5)
    features = FeatureExtractor(model, heads)(video)
    rgb, flow = model.net.rgb, model.net.flow
    assert features["pooled"].shape == (2, rgb.pooled_features + flow.pooled_features)
    representation = model(video).representation
    assert torch.equal(features["pooled"][:, : rgb.pooled_features], representation[:, : rgb.pooled_features])
    assert torch.equal(features["pooled"][:, rgb.pooled_features :], representation[:, rgb.fc.in_features :])
    assert features["dmr"].shape == (2, rgb.generator.shape.numel)


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "size"),
    [("csn_r101", 2048), ("efficient_x3d_xs", 2048), ("mvit_b_16x4", 768), ("s3d", 1024), ("slowfast_r50_4x16", 2304)],
)
def test_every_kind_of_network_has_pooled_features(name, size):
    # Shapes alone, on torch's meta device, at the published input.
    card = model_module(name).CARD
    wanted = card.published_input
    model, heads = built(name, {}, wanted, device="meta")
    video = torch.empty(2, card.channels, wanted.frames, wanted.crop, wanted.crop, device="meta")
    assert FeatureExtractor(model, heads)(video)["pooled"].shape == (2, size)


class Net(nn.Module):
    """A classifier of any last layer, on what `prepare` makes of a clip."""

    def __init__(self, last, prepare):
        super().__init__()
        self.last, self.prepare = last, prepare

    def forward(self, video):
        logits = self.last(self.prepare(video))
        return logits.flatten(2).mean(2) if logits.dim() > 2 else logits.unflatten(0, (len(video), -1)).mean(1)


@torch.no_grad()
def test_a_convolutional_classifier_is_averaged_over_its_positions():
    net = Net(nn.Conv3d(3, 5, 1), prepare=lambda video: video)
    video = clip()
    features = FeatureExtractor(Classifier(net, None, ()), {"last.weight", "last.bias"})(video)
    torch.testing.assert_close(features["pooled"], video.mean((2, 3, 4)))


@torch.no_grad()
def test_a_classifier_that_is_not_given_clips_is_refused():
    net = Net(nn.Linear(3, 5), prepare=lambda video: video.mean((3, 4)).transpose(1, 2).flatten(0, 1))
    extractor = FeatureExtractor(Classifier(net, None, ()), {"last.weight", "last.bias"})
    with pytest.raises(UserError, match=r"Net is given \(16, 3\) for 2 clips"):
        extractor(clip())


def test_another_kind_of_classifier_is_refused():
    net = Net(nn.Bilinear(3, 3, 5), prepare=None)
    with pytest.raises(UserError, match="ends in last, a Bilinear"):
        FeatureExtractor(Classifier(net, None, ()), {"last.weight", "last.bias"})


def test_filters_that_copy_have_no_motion_at_any_scale():
    filters = torch.zeros(2, 3, 2, 3, 5, 5)
    filters[..., 2, 2] = 1
    assert torch.equal(mean_motion(filters), torch.zeros(2, 2 * 3 * 25))
    filters[1, 0, 1, 2, 2, 3] = 0.6
    motion = mean_motion(filters)
    assert motion[0].count_nonzero() == 0
    assert motion[1].nonzero().item() == 25 * (3 + 2) + 5 * 2 + 3
    assert motion[1].max().item() == pytest.approx(0.2)
