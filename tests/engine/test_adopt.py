import pytest
import torch
from processes import assert_same_weights, weights_of

from dynamonet.engine.adopt import adopt
from dynamonet.engine.evaluate import evaluate
from dynamonet.engine.fit import build_for, fit, load_manifest
from dynamonet.errors import UserError
from dynamonet.files import read_json
from dynamonet.spec import load_spec


def as_it_is(spec_path, task, init):
    """The spec of a run that trains nothing, with the weights of another."""
    spec = load_spec(spec_path).model_copy(update={"task": task, "init": init, "recipe": None})
    path = spec_path.parents[1] / spec.run / "spec.json"
    spec.save(path)
    return path


def test_a_run_evaluated_as_it_is_scores_as_the_one_it_comes_from(prepared):
    trained = prepared("kinetics400", model="dynamonet")
    fit(trained)
    evaluate(trained)
    spec_path = as_it_is(trained, "evaluate", trained.parent.name)
    adopt(spec_path)
    evaluate(spec_path)
    assert_same_weights(weights_of(spec_path), weights_of(trained))
    first, second = (read_json(path.with_name("evaluate.json")) for path in (trained, spec_path))
    assert first["metrics"] == second["metrics"]
    scores, again = (path.with_name("logits.parquet").read_bytes() for path in (trained, spec_path))
    assert scores == again
    record = read_json(spec_path.with_name("fit.json"))
    assert (record["stage"], record["metrics"], record["counts"]) == (
        "adopt",
        {"steps": 0},
        {"videos": 0, "classes": 12},
    )
    assert record["provenance"]["init"]["weights_sha256"] == read_json(trained.with_name("fit.json"))["weights_sha256"]
    assert not spec_path.with_name("log.jsonl").exists()


def test_a_run_that_is_searched_with_keeps_its_own_classifier(prepared):
    parent = prepared("pretraining")
    fit(parent)
    spec_path = as_it_is(prepared("kinetics400", model="dynamonet"), "retrieve", parent.parent.name)
    adopt(spec_path)
    own, theirs = weights_of(spec_path), weights_of(parent)
    assert own["fc.weight"].shape != theirs["fc.weight"].shape
    assert all(torch.equal(own[key], theirs[key]) for key in own if not key.startswith("fc."))
    init = read_json(spec_path.with_name("fit.json"))["provenance"]["init"]
    assert init["fresh"] == ["fc.bias", "fc.weight"]


def test_without_a_start_the_weights_are_those_that_the_seed_draws(prepared):
    spec_path = as_it_is(prepared("kinetics400", model="backbone"), "retrieve", None)
    adopt(spec_path)
    spec = load_spec(spec_path)
    drawn = build_for(spec, load_manifest(spec_path.absolute(), spec)).net.state_dict()
    assert_same_weights(weights_of(spec_path), drawn)
    assert read_json(spec_path.with_name("fit.json"))["provenance"]["init"] is None


def test_a_start_that_is_not_finished_is_refused(prepared):
    trained = prepared("kinetics400", model="dynamonet")
    for task in ("evaluate", "retrieve"):
        with pytest.raises(UserError, match="has no finished weights"):
            adopt(as_it_is(trained, task, trained.parent.name))


def test_a_start_of_other_classes_cannot_be_evaluated(prepared):
    parent = prepared("pretraining")
    fit(parent)
    spec_path = as_it_is(prepared("kinetics400", model="dynamonet"), "evaluate", parent.parent.name)
    with pytest.raises(UserError, match=r"holds the weights of another model: 2 keys of another shape, first 'fc"):
        adopt(spec_path)
    assert not spec_path.with_name("fit.json").exists()


def test_a_start_of_another_network_is_refused(prepared):
    trained = prepared("kinetics400", model="slow_r50")
    fit(trained)
    spec_path = as_it_is(prepared("kinetics400", model="backbone"), "retrieve", trained.parent.name)
    with pytest.raises(UserError, match="cannot start from"):
        adopt(spec_path)
