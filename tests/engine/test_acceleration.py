import copy
import re
import shutil

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from dynamonet.engine.acceleration import accelerate, as_input, autocast, repeated_blocks, scaler
from dynamonet.errors import UserError
from dynamonet.models.card import Clip
from dynamonet.models.catalogue import model_module, model_names
from dynamonet.models.classifier import build_classifier
from dynamonet.recipe import Recipe

CPU = torch.device("cpu")
CLIP = Clip(frames=4, crop=32)
LARGEST = {"backbone": "resnext", "depth": 50, "stc": True, "filter_scales": 2}
# Gradients that torch.use_deterministic_algorithms lists as without a deterministic kernel on CUDA; that of 3D
# max-pooling is new in torch 2.14.
REFUSED = re.compile(
    r"(Adaptive)?AvgPool3D|AdaptiveAvgPool2D|AdaptiveMaxPool|MaxPool3D|FractionalMaxPool|MaxUnpool|EmbeddingBag"
    r"|Upsample(Linear|Bilinear|Bicubic|Trilinear)|ReflectionPad|GridSampler|NllLoss2D|CtcLoss|Median|Put"
)


def recipe(**settings):
    return Recipe(steps=1, batch_size=2, learning_rate=0.1, **settings)


def dynamonet(**options):
    return build_classifier("dynamonet", 3, {"depth": 10, "width": 4, "stem_frames": 3, **options}, CLIP)


def slow_r50():
    return build_classifier("slow_r50", 3, {"width": 4}, CLIP)


class Blocks(nn.Module):
    """Blocks that draw. Without a momentum, batch normalisation averages all batches equally."""

    def __init__(self, count=3, dropout=0.3, momentum=None):
        super().__init__()
        self.blocks = nn.ModuleList(self._block(dropout, momentum) for _ in range(count))
        self.fc = nn.Linear(3, 3)

    @staticmethod
    def _block(dropout, momentum):
        layers = nn.Conv3d(3, 3, 3, padding=1), nn.BatchNorm3d(3, momentum=momentum), nn.ReLU(), nn.Dropout(dropout)
        return nn.Sequential(nn.Sequential(*layers), nn.Identity())

    def forward(self, video):
        for block in self.blocks:
            video = block(video)
        return self.fc(video.mean((-3, -2, -1)))


def logits_of(output):
    return output if isinstance(output, torch.Tensor) else output.logits


def loss_of(output, video):
    loss = F.cross_entropy(logits_of(output), torch.tensor([0, 1]))
    predicted = getattr(output, "predicted_frames", None)
    return loss if predicted is None else loss + F.l1_loss(predicted[:, :, :-1], video[:, :, 1:])


def trained(build, steps=3, side=32, prepare=None, **settings):
    """The model and its losses, after a few steps on clips that are always the same."""
    asked = recipe(**settings)
    with torch.backends.mkldnn.flags(enabled=asked.precision != "bf16"):  # as prepare_device does
        return after_steps(build, asked, steps, side, prepare)


def after_steps(build, asked, steps, side, prepare):
    torch.manual_seed(0)
    model = build().train()
    accelerate(model, asked)
    if prepare is not None:
        prepare(model)
    optimiser = torch.optim.SGD(model.parameters(), 0.001, momentum=0.9)
    scaled = scaler(asked, CPU)
    losses = []
    for step in range(steps):
        torch.manual_seed(100 + step)
        video = as_input(torch.randint(0, 256, (2, 3, 4, side, side), dtype=torch.uint8), asked, CPU)
        with autocast(asked, CPU):
            loss = loss_of(model(video), video)
        optimiser.zero_grad()
        scaled.scale(loss).backward()
        scaled.step(optimiser)
        scaled.update()
        losses.append(loss.item())
    return model, losses


def compiled(model):
    """The compiler's graphs and what they keep, without its code, which takes minutes for a whole network."""
    model.compile(backend="aot_eager", fullgraph=True, dynamic=False)


def kept_bytes(model):
    """What a forward pass keeps for backward, weights apart; a checkpointed block's inside does not pass by here."""
    weights = {parameter.data_ptr() for parameter in model.parameters()}
    kept = {}

    def pack(tensor):
        if tensor.data_ptr() not in weights:
            kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = model(torch.rand(2, 3, 4, 32, 32))
    assert logits_of(output).requires_grad
    return sum(kept.values())


BUILDS = {
    "dynamonet": dynamonet,
    "stc": lambda: dynamonet(stc=True, stc_reduction=2),
    "slow_r50": slow_r50,
    "blocks": Blocks,
    # what several processes on GPUs train
    "synchronised": lambda: nn.SyncBatchNorm.convert_sync_batchnorm(Blocks(momentum=0.1)),
}


@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
def test_checkpointing_changes_no_bit_of_weights_and_statistics(build):
    plain, losses = trained(build)
    checkpointed, same_losses = trained(build, gradient_checkpointing=True)
    assert losses == same_losses
    assert len(set(losses)) == 3
    expected, state = plain.state_dict(), checkpointed.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[key], expected[key]) for key in expected)
    assert next(value for key, value in state.items() if key.endswith("num_batches_tracked")) == 3


@pytest.mark.parametrize(
    # What the stem keeps stays; in a narrow network it is much of the whole.
    ("build", "share"),
    [(lambda: dynamonet(depth=50), 0.7), (slow_r50, 0.5), (Blocks, 0.3)],
)
def test_checkpointing_keeps_fewer_activations(build, share):
    plain = kept_bytes(build().train())
    model = build().train()
    accelerate(model, recipe(gradient_checkpointing=True))
    assert 0 < kept_bytes(model) < share * plain


@pytest.mark.parametrize(
    ("build", "count", "kind"),
    [
        (dynamonet, 4, "BasicBlock"),
        (lambda: dynamonet(depth=50, stc=True, stc_reduction=2), 16, "Bottleneck"),
        (slow_r50, 16, "ResBlock"),
    ],
)
def test_what_is_recomputed_are_the_residual_blocks(build, count, kind):
    assert [type(block).__name__ for block in repeated_blocks(build())] == [kind] * count


def test_single_layers_and_unlike_members_are_no_blocks():
    layers = nn.Sequential(nn.Conv3d(3, 3, 1), nn.Conv3d(3, 3, 1))
    unlike = nn.Sequential(nn.Sequential(nn.Linear(3, 3)), nn.TransformerEncoderLayer(4, 1))
    assert repeated_blocks(nn.ModuleList([layers, unlike])) == []
    with pytest.raises(UserError, match="this model has none: set it to false"):
        accelerate(nn.Sequential(nn.Linear(2, 2)), recipe(gradient_checkpointing=True))


def test_a_copy_of_a_checkpointed_model_computes_with_its_own_weights():
    model = dynamonet().eval()
    accelerate(model, recipe(gradient_checkpointing=True))
    copied = copy.deepcopy(model)
    video = torch.rand(1, 3, 4, 32, 32)
    before = copied(video).logits
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert torch.equal(copied(video).logits, before)


def test_the_compiler_recomputes_too_and_updates_statistics_once():
    def build():
        return Blocks(dropout=0.0, momentum=0.1)

    plain, losses = trained(build)
    model, same_losses = trained(build, prepare=compiled, gradient_checkpointing=True)
    assert same_losses == pytest.approx(losses)
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(model.state_dict()[key], value)
    without = build().train()
    compiled(without)
    assert kept_bytes(model) < 0.5 * kept_bytes(without)


@pytest.mark.parametrize("build", [dynamonet, slow_r50])
def test_the_compiler_sees_a_network_as_a_whole(build):
    model = build().train()
    accelerate(model, recipe(compile=True, gradient_checkpointing=True))
    explained = torch._dynamo.explain(model.forward)(torch.rand(2, 3, 4, 32, 32))
    assert explained.graph_break_count == 0, explained.break_reasons


def test_everything_works_together():
    settings = dict(precision="bf16", channels_last=True, gradient_checkpointing=True)
    # Of smaller clips, the last batch statistics would be of two values, and magnify every rounding.
    model, losses = trained(dynamonet, prepare=compiled, steps=2, side=96, **settings)
    plain, expected = trained(dynamonet, steps=2, side=96)
    assert losses == pytest.approx(expected, rel=0.01)
    state = model.state_dict()
    assert state.keys() == plain.state_dict().keys()
    assert state["net.backbone.bn1.num_batches_tracked"] == 2
    assert all(torch.isfinite(value).all() for value in state.values())


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on CPUs")
def test_compiled_code_trains_as_the_network_does():
    settings = dict(precision="bf16", gradient_checkpointing=True)
    (model, losses), (plain, expected) = (
        trained(lambda: Blocks(1, dropout=0.0, momentum=0.1), steps=2, compile=flag, **settings)
        for flag in (True, False)
    )
    assert model._compiled_call_impl is not None
    assert losses == pytest.approx(expected, rel=0.01)
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(model.state_dict()[key], value, rtol=0.02, atol=0.01)


def test_input_is_scaled_exactly_and_laid_out_as_asked():
    video = torch.randint(0, 256, (2, 3, 4, 8, 8), dtype=torch.uint8)
    plain, last = (as_input(video, recipe(channels_last=flag), CPU) for flag in (False, True))
    assert torch.equal(plain, video.float() / 255)
    assert torch.equal(last, plain)
    assert plain.is_contiguous()
    assert last.is_contiguous(memory_format=torch.channels_last_3d) and not last.is_contiguous()


def test_channels_last_lays_out_the_convolutions_and_all_that_follows():
    model, expected = dynamonet(), dynamonet()
    expected.load_state_dict(model.state_dict())
    accelerate(model, recipe(channels_last=True))
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv3d)]
    assert all(one.weight.is_contiguous(memory_format=torch.channels_last_3d) for one in convolutions)
    video = torch.rand(2, 3, 4, 32, 32)
    laid_out = []
    model.net.backbone.layer1.register_forward_hook(lambda *args: laid_out.append(args[2]))
    output = model(video.contiguous(memory_format=torch.channels_last_3d))
    assert laid_out[0].is_contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(output.logits, expected(video).logits, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("fp32", torch.float32), ("tf32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)],
)
def test_products_are_computed_in_the_recipe_s_precision(precision, dtype):
    with autocast(recipe(precision=precision), CPU):
        assert nn.Linear(2, 2)(torch.rand(1, 2)).dtype == dtype
    assert scaler(recipe(precision=precision), CPU).is_enabled() == (precision == "fp16")


def test_in_fp16_a_step_with_infinite_gradients_is_left_out_and_the_scale_falls():
    scaled = scaler(recipe(precision="fp16"), CPU)
    weight = nn.Parameter(torch.ones(1))
    optimiser = torch.optim.SGD([weight], 1.0)
    before = scaled.get_scale()
    for factor in (float("inf"), 0.5):
        optimiser.zero_grad()
        scaled.scale(factor * weight.sum()).backward()
        scaled.step(optimiser)
        scaled.update()
    assert scaled.get_scale() == before / 2
    assert weight.item() == 0.5


def one_of_each_source() -> list[str]:
    """Networks of one source have the same layers. RAFT's weights would be downloaded."""
    names = [name for name in model_names() if name != "two_stream_raft"]
    return list({model_module(name).CARD.source: name for name in names}.values())


@pytest.mark.parametrize(("name", "options"), [("dynamonet", LARGEST), *((name, {}) for name in one_of_each_source())])
def test_on_a_gpu_no_network_has_a_gradient_that_is_not_deterministic(name, options):
    card = model_module(name).CARD
    model = build_classifier(name, 5, options, card.clip)
    with FakeTensorMode(allow_non_fake_inputs=True):  # as on CUDA, without computing anything
        model.to("cuda")
        accelerate(model, recipe())
        clip = card.clip
        output = model(torch.empty(2, card.channels, clip.frames, clip.crop, clip.crop, device="cuda"))
    found = {name for tensor in vars(output).values() if tensor is not None for name in gradients_of(tensor)}
    assert "ConvolutionBackward0" in found
    assert {"CudnnBatchNormBackward0", "NativeLayerNormBackward0"} & found
    assert not [name for name in found if REFUSED.match(name)]


def gradients_of(tensor):
    """Names of the operators of autograd behind a tensor."""
    nodes, seen = [tensor.grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node not in seen:
            seen.add(node)
            yield node.name()
            nodes += [before for before, _ in node.next_functions if before is not None]
