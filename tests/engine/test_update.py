import pytest
import torch
from processes import log_without_times, weights_of, with_recipe
from torch import nn

from dynamonet.data.clips import TrainClips, batches
from dynamonet.engine.distribution import World
from dynamonet.engine.evaluate import evaluate
from dynamonet.engine.fit import build_for, clip_shape, fit, load_manifest
from dynamonet.engine.update import Update
from dynamonet.errors import UserError
from dynamonet.files import read_json
from dynamonet.models.network import DynamoNet
from dynamonet.spec import load_spec


def head_gradients(spec_path):
    """VALUES and the classifier's gradients of the first batch."""
    spec = load_spec(spec_path)
    manifest = load_manifest(spec_path.absolute(), spec)
    rows = manifest.select(spec.split, "train", spec.label_fraction, spec.seed)
    clips = TrainClips(rows, manifest.root, clip_shape(spec), spec.seed)
    (indices,) = batches(len(clips), spec.recipe.batch_size, spec.seed, 0, 1)
    batch = torch.utils.data.default_collate([clips[index] for index in indices])
    update = Update(spec, build_for(spec, manifest), World(), len(manifest.classes))
    update.prepare()
    values = update.gradients(batch, 0)
    return values, {name: p.grad for name, p in update.model.net.named_parameters() if p.grad is not None}


def test_a_batch_in_parts_has_the_gradient_of_the_whole(prepared):
    # The classifier alone: frozen batch norms do not depend on what else is in the batch. Without prediction, whose
    # unit is the loss of copying a part's own frames.
    recipe = {"trainable": ("head",), "prediction_weight": 0.0}
    spec_path = prepared("kinetics400", model="backbone")
    whole, gradients = head_gradients(with_recipe(spec_path, **recipe))
    parts, in_parts = head_gradients(with_recipe(spec_path, **recipe, accumulation=2))
    assert gradients.keys() == {"fc.weight", "fc.bias"}
    torch.testing.assert_close(parts, whole, equal_nan=True)
    for name, gradient in gradients.items():
        torch.testing.assert_close(in_parts[name], gradient)


def test_a_batch_that_processes_and_parts_cannot_share_is_refused(prepared, monkeypatch):
    spec_path = with_recipe(prepared("kinetics400", model="backbone"), batch_size=6, accumulation=3)
    for name, value in {"RANK": "0", "WORLD_SIZE": "4", "LOCAL_RANK": "0", "MASTER_ADDR": "here"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_PORT", "1")
    with pytest.raises(UserError, match="4 processes cannot share a batch_size of 6 in 3 parts each"):
        fit(spec_path)


def test_averaged_weights_are_the_result_and_training_is_the_same(prepared):
    spec_path = prepared("kinetics400", model="dynamonet")
    averaged = with_recipe(spec_path, ema_decay=0.9)
    fit(spec_path)
    fit(averaged)
    assert log_without_times(averaged) == log_without_times(spec_path)
    last, mean = weights_of(spec_path), weights_of(averaged)
    assert not torch.equal(last["fc.weight"], mean["fc.weight"])
    assert torch.equal(last["backbone.bn1.num_batches_tracked"], mean["backbone.bn1.num_batches_tracked"])


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_trains_to_nearly_the_same_loss(prepared, precision):
    spec_path = prepared("kinetics400", model="dynamonet")
    half = with_recipe(spec_path, precision=precision, channels_last=True)
    fit(spec_path)
    fit(half)
    ours, exact = log_without_times(half), log_without_times(spec_path)
    assert ours != exact
    assert [line["loss"] for line in ours] == pytest.approx([line["loss"] for line in exact], rel=0.05)
    evaluate(spec_path)
    evaluate(half)
    ours, exact = (read_json(path.parent / "evaluate.json")["metrics"]["psnr_db"] for path in (half, spec_path))
    assert ours == pytest.approx(exact, rel=0.02)
    for record in ("fit", "evaluate"):
        determinism = read_json(half.parent / f"{record}.json")["provenance"]["determinism"]
        assert determinism["tier"] == "bit-identical"
        assert determinism["precision"] == precision


def test_a_linear_probe_changes_the_classifier_alone(prepared):
    fit(prepared("kinetics400", model="dynamonet"))
    child = with_recipe(prepared("ucf101", model="dynamonet", split=1), trainable=("head",))
    fit(child)
    parent, probed = weights_of(prepared("kinetics400", model="dynamonet")), weights_of(child)
    changed = {name for name in parent if not torch.equal(parent[name], probed[name])}
    assert changed == {"fc.weight", "fc.bias"}


def test_out_of_memory_says_what_would_fit(prepared, monkeypatch):
    spec_path = prepared("kinetics400", model="dynamonet")
    forward = DynamoNet.forward

    def small(self, video):
        if len(video) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return forward(self, video)

    monkeypatch.setattr(DynamoNet, "forward", small)
    with pytest.raises(UserError, match=r"with 4 clips at once; 2 would fit: set accumulation: 2 in the recipe"):
        fit(spec_path)
    fit(with_recipe(spec_path, accumulation=2))


def test_memory_that_the_optimiser_lacks_is_told_too(prepared, monkeypatch):
    step = torch.optim.AdamW.step

    def without_memory(self, closure=None):
        if not self.state:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return step(self, closure)

    monkeypatch.setattr(torch.optim.AdamW, "step", without_memory)
    with pytest.raises(UserError, match="with 4 clips at once; not one would fit"):
        fit(prepared("kinetics400", model="dynamonet"))


def test_an_operator_that_is_not_deterministic_is_named(prepared, monkeypatch):
    def refused(self, input):
        raise RuntimeError("max_pool3d_with_indices_backward_cuda does not have a deterministic implementation, but")

    monkeypatch.setattr(nn.MaxPool3d, "forward", refused)
    with pytest.raises(UserError, match=r"max_pool3d_with_indices_backward_cuda .* `deterministic: false`"):
        fit(prepared("kinetics400", model="dynamonet"))
