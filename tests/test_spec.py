import json

import pytest

from dynamonet.errors import UserError
from dynamonet.expansion import expand
from dynamonet.spec import load_spec
from dynamonet.study import load_study


@pytest.fixture
def saved(tiny, tmp_path):
    spec = next(iter(expand(load_study(tiny)).runs.values()))
    spec.save(tmp_path / "spec.json")
    return spec, tmp_path / "spec.json"


def test_a_spec_survives_the_file(saved):
    spec, path = saved
    assert load_spec(path) == spec


def test_an_edited_spec_is_refused(saved):
    _, path = saved
    content = json.loads(path.read_text())
    content["recipe"]["steps"] = 1000
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="was edited"):
        load_spec(path)


@pytest.mark.parametrize("text", ["{", "[]", '{"run_name": "x"}'])
def test_something_else_is_refused(saved, text):
    _, path = saved
    path.write_text(text)
    with pytest.raises(UserError, match=r"spec\.json is not a"):
        load_spec(path)


def test_an_absent_spec_is_named(tmp_path):
    with pytest.raises(UserError, match=r"spec\.json does not exist"):
        load_spec(tmp_path / "spec.json")
