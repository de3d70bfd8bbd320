"""The network against an independent implementation, in float64: outputs, losses, and every gradient."""

import pytest
import torch
import torch.nn.functional as F
from reference_dynamonet import ReferenceDynamoNet, classification_loss, prediction_loss

from dynamonet.engine.objective import loss_of
from dynamonet.models.card import Clip
from dynamonet.models.catalogue import default_options
from dynamonet.models.classifier import build_classifier
from dynamonet.recipe import Recipe

CLIP = Clip(frames=6, crop=16)
SMALL = {"depth": 10, "width": 2, "stem_frames": 3, "filter_size": 3, "dmr_features": 4}
VARIANTS = {
    "default": {},
    "two blocks a stage, 5 x 5": {"depth": 18, "filter_size": 5},
    "softmax": {"filter_normalisation": "softmax", "dmr_detached": False},
    "raw": {"filter_normalisation": "raw", "dmr_detached": False},
    "pooled": {"filter_source": "pooled", "dmr_detached": False},
    "static": {"filter_source": "static", "dmr_detached": False},
    "static, two scales": {"filter_source": "static", "filter_scales": 2, "filter_normalisation": "softmax"},
    "per colour": {"filter_per_channel": True, "dmr_detached": False},
    "two scales": {"filter_scales": 2, "dmr_detached": False},
    "two scales per colour": {"filter_scales": 2, "filter_per_channel": True, "filter_normalisation": "softmax"},
    "flattened DMR": {"dmr_pooling": "flatten", "dmr_detached": False},
    "DMR of the filters themselves": {"dmr_projected": False, "dmr_detached": False, "filter_scales": 2},
    "flattened filters themselves": {"dmr_projected": False, "dmr_pooling": "flatten", "filter_per_channel": True},
    "no DMR": {"dmr_features": 0},
    "no prediction": {"prediction": False},
    "plain backbone": {"prediction": False, "dmr_features": 0},
    "detached features": {"features_detached": True, "dmr_detached": False},
    "detached features and DMR": {"features_detached": True},
}


@pytest.fixture(autouse=True)
def one_thread():
    """Tensors are tiny: several threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_equals_the_reference_in_outputs_losses_and_gradients(variant, training):
    torch.manual_seed(0)
    options = {**default_options("dynamonet"), **SMALL, **variant}
    model = build_classifier("dynamonet", 5, options, CLIP).double().train(training)
    disturb(model)
    state = {key: value.detach().clone() for key, value in model.net.state_dict().items()}
    for name, _ in model.net.named_parameters():
        state[name].requires_grad_()
    video, labels = torch.rand(3, 3, 7, 16, 16, dtype=torch.float64), torch.tensor([0, 4, 2])

    output = model(video[:, :, :-1])
    expected = ReferenceDynamoNet(state, options, training)(video[:, :, :-1])
    for name in ("logits", "representation", "filters", "predicted_frames"):
        ours = getattr(output, name)
        assert (ours is None) == (name not in expected)
        if ours is not None:
            torch.testing.assert_close(ours, expected[name])

    loss, expected_loss = F.cross_entropy(output.logits, labels), classification_loss(expected["logits"], labels)
    if options["prediction"]:
        smooth_l1 = F.smooth_l1_loss(output.predicted_frames, video[:, :, 1:], beta=0.05)
        loss = loss + 2 * smooth_l1 / F.smooth_l1_loss(video[:, :, :-1], video[:, :, 1:], beta=0.05)
        expected_loss = expected_loss + 2 * prediction_loss(expected["predicted_frames"], video)
    torch.testing.assert_close(loss, expected_loss)
    recipe = Recipe(steps=1, batch_size=3, learning_rate=0.1, prediction_weight=2)
    torch.testing.assert_close(loss_of(output, video, labels, recipe, step=0).total.double(), loss, rtol=1e-5, atol=0)

    parameters = dict(model.net.named_parameters())
    found = torch.autograd.grad(loss, parameters.values(), allow_unused=True)
    gradients = torch.autograd.grad(expected_loss, [state[name] for name in parameters], allow_unused=True)
    for name, ours, theirs in zip(parameters, found, gradients, strict=True):
        assert (ours is None) == (theirs is None), name
        if ours is not None:
            torch.testing.assert_close(ours, theirs, msg=lambda text, name=name: f"{name}: {text}")


def disturb(model: torch.nn.Module) -> None:
    """Move weights and running statistics away from where they start: filters from the identity, too."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        for module in model.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.running_mean += 0.1 * torch.randn_like(module.running_mean)
                module.running_var *= 0.5 + torch.rand_like(module.running_var)
