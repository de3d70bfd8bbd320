"""The baselines of pytorchvideo and torchvision are the networks that were released, and take their files."""

from functools import partial

import pytest
import torch
from pytorchvideo.models import hub
from pytorchvideo.models.hub.vision_transformers import mvit_video_base_config
from pytorchvideo.models.resnet import create_resnet
from pytorchvideo.models.slowfast import create_slowfast
from pytorchvideo.models.vision_transformers import create_multiscale_vision_transformers
from torch import nn
from torchvision.models import get_model_weights, video

from dynamonet.errors import UserError
from dynamonet.models.card import Clip, ModelCard, Views
from dynamonet.models.catalogue import check_options, model_module
from dynamonet.models.classifier import build_classifier

LOGITS = {"head_activation": None}
MVIT = {"mvit_b_16x4": (hub.mvit_base_16x4, 0.2), "mvit_b_32x3": (hub.mvit_base_32x3, 0.3)}
TORCHVISION = ("r3d_18", "mc3_18", "r2plus1d_18", "s3d", "swin3d_t", "swin3d_s", "swin3d_b")
# What the authors load their files into. Two have no function in the hub.
RELEASED = {
    "c2d_r50": hub.c2d_r50,
    "i3d_r50": hub.i3d_r50,
    "slow_r50": hub.slow_r50,
    "slow_r50_4x16": partial(create_resnet, stem_conv_kernel_size=(1, 7, 7), head_pool_kernel_size=(4, 7, 7)),
    "slowfast_r50": hub.slowfast_r50,
    "slowfast_r50_4x16": partial(
        create_slowfast,
        slowfast_fusion_conv_kernel_size=(5, 1, 1),
        slowfast_fusion_conv_stride=(8, 1, 1),
        head_pool_kernel_sizes=((4, 7, 7), (32, 7, 7)),
    ),
    "slowfast_r101": hub.slowfast_r101,
    "slowfast_r101_50_50": hub.slowfast_16x8_r101_50_50,
    "r2plus1d_r50": partial(hub.r2plus1d_r50, **LOGITS),
    "csn_r101": partial(hub.csn_r101, dropout_rate=0.5),
    **{f"x3d_{size}": partial(getattr(hub, f"x3d_{size}"), **LOGITS) for size in ("xs", "s", "m", "l")},
    **{name: partial(build, droppath_rate_block=rate) for name, (build, rate) in MVIT.items()},
    "efficient_x3d_xs": hub.efficient_x3d_xs,
    "efficient_x3d_s": hub.efficient_x3d_s,
    **{name: getattr(video, name) for name in TORCHVISION},
}


def in_words(net: nn.Module) -> str:
    """Every module with its sizes, lists of which are as good as tuples."""
    return str(net).replace("[", "(").replace("]", ")")


@pytest.mark.parametrize("name", RELEASED)
def test_is_the_released_network_with_its_parameters(name):
    module = model_module(name)
    # MViT of pytorchvideo computes its sizes with tensors, so it cannot be built on the meta device.
    with torch.device("cpu" if name in MVIT else "meta"):
        theirs = RELEASED[name]()
    with torch.device("meta"):
        ours = module.build(400, module.CARD.clip)
    assert in_words(getattr(ours, "pathways", ours)) == in_words(theirs)
    release = module.RELEASES[module.CARD.released.format]
    file = {release.own_key(key): value.shape for key, value in theirs.state_dict().items()}
    assert file == {key: value.shape for key, value in ours.state_dict().items()}


def test_mvit_computes_what_pytorchvideo_does():
    clip, depth, width = Clip(frames=4, crop=32), 15, 8
    settings = {**mvit_video_base_config, "temporal_size": clip.frames, "spatial_size": clip.crop}
    theirs = create_multiscale_vision_transformers(
        **settings, depth=depth, patch_embed_dim=width, head_num_classes=3, droppath_rate_block=0.2
    ).eval()
    ours = model_module("mvit_b_16x4").build(3, clip, depth=depth, width=width).eval()
    ours.load_state_dict(theirs.state_dict())
    clips = torch.rand(2, 3, clip.frames, clip.crop, clip.crop)
    with torch.no_grad():
        assert torch.equal(ours(clips), theirs(clips))


@pytest.mark.parametrize("depth", [1, 3, 4, 14])
def test_an_mvit_of_any_depth(depth):
    clip = Clip(frames=2, crop=16)
    net = build_classifier("mvit_b_16x4", 3, {"depth": depth, "width": 8}, clip)
    net(torch.rand(2, 3, 2, 16, 16)).logits.sum().backward()
    assert all(p.grad is not None for p in net.parameters())


@pytest.mark.parametrize(("name", "slow_frames"), [("slowfast_r50", 8), ("slowfast_r50_4x16", 4)])
def test_slowfast_packs_its_pathways(name, slow_frames):
    clip = Clip(frames=32, crop=32)
    net = model_module(name).build(3, clip, width=8).eval()
    seen = []
    net.pathways.register_forward_pre_hook(lambda _, inputs: seen.append(list(inputs[0])))
    clips = torch.rand(1, 3, clip.frames, clip.crop, clip.crop)
    with torch.no_grad():
        assert torch.equal(net(clips), net(clips)), "the network changes the list of pathways that it is given"
    slow, fast = seen[1]
    assert torch.equal(fast, clips)
    # PackPathway of pytorchvideo's tutorial on SlowFast.
    places = torch.linspace(0, clip.frames - 1, slow_frames).long()
    assert torch.equal(slow, clips[:, :, places])


@pytest.mark.parametrize("name", ["c2d_r50", "slow_r50", "r2plus1d_r50", "csn_r101", "slowfast_r50"])
def test_a_larger_crop_is_classified_at_several_places(name):
    frames, width = (8, 8)
    trained, tested = (Clip(frames=frames, crop=crop) for crop in (224, 256))
    net = model_module(name).build(5, trained, width=width).eval()
    heads = [module for module in net.modules() if isinstance(module, nn.AvgPool3d)]
    assert all(pool.kernel_size[1:] == (7, 7) for pool in heads)
    larger = model_module(name).build(5, tested, width=width).eval()
    assert str(larger) == str(net)
    places = []
    (classifier,) = [module for module in net.modules() if isinstance(module, nn.Linear)]
    classifier.register_forward_hook(lambda _, inputs, output: places.append(output))
    with torch.no_grad():
        logits = net(torch.rand(1, 3, frames, 256, 256))
    assert places[0].shape == (1, 1, 2, 2, 5)
    assert torch.allclose(places[0].mean((1, 2, 3)), logits, atol=1e-6)


def test_s3d_pools_windows_as_published_where_the_maps_are_as_large():
    net = model_module("s3d").build(3, Clip(frames=16, crop=224))
    assert str(net.avgpool) == str(video.s3d().avgpool)


@pytest.mark.parametrize("name", TORCHVISION)
def test_the_card_says_what_torchvision_says(name):
    card = model_module(name).CARD
    weights = get_model_weights(name)["KINETICS400_V1"]
    (accuracies,) = weights.meta["_metrics"].values()
    published = {value.metric: value.value for value in card.published}
    assert published == {
        "top1_percent": accuracies["acc@1"],
        "top5_percent": accuracies["acc@5"],
        "gmacs_per_clip": weights.meta["_ops"],
        "parameters_m": weights.meta["num_params"] / 1e6,
    }
    assert {value.source for value in card.published} == {f"torchvision.models.video.{weights}"}
    transform = weights.transforms()
    assert (card.mean, card.std) == (tuple(transform.mean), tuple(transform.std))
    size = card.views.frame or (card.views.short_side,)  # one number keeps the aspect, two do not
    assert (card.clip.crop, tuple(size)) == (transform.crop_size[0], tuple(transform.resize_size))
    clip_length = f"`clip_len={card.clip.frames}`"
    assert f"`clips_per_video={card.views.clips}`" in weights.meta["_docs"]
    assert clip_length in weights.meta["_docs"]
    assert (card.released.url, card.released.sha256_prefix) == (weights.url, weights.url[-12:-4])


@pytest.mark.parametrize(
    ("name", "options", "clip", "said"),
    [
        ("c2d_r50", {}, {"frames": 1}, "clip.frames is 1: set it to 2 or more"),
        ("slowfast_r50", {}, {"frames": 6}, "clip.frames to a multiple of 4, not 6"),
        ("slowfast_r50_4x16", {}, {"frames": 12}, "clip.frames to a multiple of 8, not 12"),
        ("slowfast_r50", {"width": 12}, {}, "width must be a multiple of 8, not 12"),
        ("x3d_xs", {}, {"crop": 28}, "crops of 32 pixels or more, and clip.crop is 28"),
        ("x3d_xs", {"depth_factor": 0}, {}, "depth_factor must be above 0, not 0"),
        ("mvit_b_16x4", {}, {"frames": 5}, "clip.frames to a multiple of 2, not 5"),
        ("mvit_b_16x4", {}, {"crop": 30}, "clip.crop to one of 4, not 30"),
        ("mvit_b_16x4", {"depth": 0}, {}, "depth must be at least 1, not 0"),
        ("mvit_b_16x4", {"drop_path": 1.0}, {}, r"drop_path must be in \[0, 1\), not 1.0"),
        ("s3d", {}, {"frames": 4}, "clip.frames and clip.crop, now 4 and 32"),
        ("swin3d_t", {"width": 48}, {}, "width must be a multiple of 32, not 48"),
        ("swin3d_t", {"depths": [2, 2]}, {}, r"depths must be four numbers of blocks, at least 1 each, not \[2, 2\]"),
        ("swin3d_t", {"drop_path": -0.1}, {}, r"drop_path must be in \[0, 1\), not -0.1"),
    ],
)
def test_what_a_baseline_cannot_take_is_refused_in_one_sentence(name, options, clip, said):
    with pytest.raises(UserError, match=said):
        check_options(name, options, Clip(**{"frames": 8, "crop": 32, **clip}))


@pytest.mark.parametrize(
    ("name", "options", "clip"),
    [
        ("i3d_r50", {"width": 8}, Clip(frames=3, crop=48)),
        ("r2plus1d_r50", {"width": 8}, Clip(frames=6, crop=48)),
        ("csn_r101", {"width": 8}, Clip(frames=5, crop=16)),
        ("slowfast_r101", {"width": 8}, Clip(frames=4, crop=48)),
        ("x3d_m", {"width_factor": 0.5, "depth_factor": 1.0}, Clip(frames=1, crop=33)),
        ("mvit_b_32x3", {"width": 8, "depth": 4}, Clip(frames=2, crop=48)),
        ("s3d", {}, Clip(frames=5, crop=17)),
        ("swin3d_t", {"width": 32, "depths": [1, 1, 1, 1]}, Clip(frames=3, crop=30)),
    ],
)
def test_small_networks_on_odd_clips(name, options, clip):
    net = build_classifier(name, 3, options, clip).eval()
    with torch.no_grad():
        assert net(torch.rand(2, 3, clip.frames, clip.crop, clip.crop)).logits.shape == (2, 3)


@pytest.mark.parametrize("name", [name for name in RELEASED if name not in TORCHVISION])
def test_views_are_those_of_pyslowfast(name):
    card = model_module(name).CARD
    if name in MVIT:  # one crop: of a short side of the first of TRAIN_JITTER_SCALES
        assert card.views == Views(clips=5, crops=1, short_side=256)
    elif not name.startswith("efficient"):  # three crops: of a short side of TEST_CROP_SIZE
        larger = {160: 182, 224: 256, 312: 356}[card.clip.crop]
        assert card.views == Views(clips=10, crops=3, crop=larger)


def test_titles_and_files_are_each_models_own():
    cards: list[ModelCard] = [model_module(name).CARD for name in RELEASED]
    assert len({card.title for card in cards}) == len({card.released.url for card in cards}) == len(cards)
