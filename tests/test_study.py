import re

import pytest
import yaml
from tiny_study import ROOT

from dynamonet.errors import UserError
from dynamonet.expansion import expand
from dynamonet.spec_files import dataset_spec, resolved, spec_paths, write_specs
from dynamonet.study import check_roots, load_study, read_config

RELEASED = {"path": "r3d18.pth", "sha256": "0123456789abcdef" * 4, "format": "3d_resnets"}


@pytest.fixture
def from_checkpoint(tiny) -> dict:
    """The tiny study, with runs that start from a released checkpoint beside others from scratch."""
    tiny["checkpoints"] = {"r3d18": dict(RELEASED)}
    tiny["experiments"]["labels"]["init"] = ["scratch", "r3d18"]
    for model in ("dynamonet", "backbone"):
        tiny["models"][model]["options"]["normalisation"] = "3d_resnets_2020"
    tiny["claims"] = {}
    return tiny


def test_every_shipped_study_expands():
    for path in set((ROOT / "config").glob("*.yaml")) - {ROOT / "config/claims.yaml"}:
        config = read_config(path)
        if "{root}" in path.read_text():
            config |= {"root": str(ROOT), "name": "mine"}
        expansion = expand(load_study(config))
        assert expansion.runs, path


def test_runs_are_the_product_of_the_matrix(tiny):
    expansion = expand(load_study(tiny))
    assert len(expansion.experiments["ucf101"]) == 2 * 3
    assert len(expansion.experiments["labels"]) == 2 * 2 * 2
    tiny["seeds"] = [0, 1]
    assert len(expand(load_study(tiny)).experiments["ucf101"]) == 2 * 3 * 2


def test_a_run_that_two_experiments_need_is_one_run(tiny):
    expansion = expand(load_study(tiny))
    scratch = next(
        run["run"]
        for run in expansion.experiments["labels"]
        if run["init"] == "scratch" and run["label_fraction"] == 1.0 and run["model"] == "dynamonet"
    )
    assert scratch in {run["run"] for run in expansion.experiments["kinetics400"]}
    assert sum(map(len, expansion.experiments.values())) > len(expansion.runs)


def test_a_run_starts_from_the_run_with_its_model_and_seed(tiny):
    tiny["seeds"] = [0, 1]
    runs = expand(load_study(tiny)).runs
    for spec in runs.values():
        if spec.dataset == "ucf101":
            assert runs[spec.init].model == spec.model
            assert runs[spec.init].seed == spec.seed
            assert runs[spec.init].dataset == "kinetics400"
    pretrained = next(spec for spec in runs.values() if spec.model == "backbone" and spec.init and spec.split == 1)
    assert runs[pretrained.init].build == "dynamonet"


def test_a_changed_setting_is_a_new_run(tiny):
    before = set(expand(load_study(tiny)).runs)
    tiny["recipes"]["short"]["learning_rate"] = 0.002
    assert before.isdisjoint(expand(load_study(tiny)).runs)


def test_a_default_that_is_given_is_the_same_run(tiny):
    before = set(expand(load_study(tiny)).runs)
    tiny["models"]["dynamonet"]["options"] = {**tiny["models"]["dynamonet"]["options"], "dmr_pooling": "mean"}
    assert set(expand(load_study(tiny)).runs) == before


def test_a_changed_parent_is_a_new_run(tiny):
    before = {spec.run for spec in expand(load_study(tiny)).runs.values() if spec.dataset == "ucf101"}
    tiny["recipes"]["long"] = {**tiny["recipes"]["short"], "steps": 7}
    tiny["experiments"]["kinetics400"]["recipe"] = "long"
    assert before.isdisjoint(expand(load_study(tiny)).runs)


def runs_of(study: dict, init: str) -> dict:
    expansion = expand(load_study(study))
    return {r["run"]: expansion.runs[r["run"]] for r in expansion.experiments["labels"] if r["init"] == init}


def test_a_run_starts_from_a_released_checkpoint(from_checkpoint):
    runs = runs_of(from_checkpoint, "r3d18")
    assert len(runs) == 2 * 2
    for spec in runs.values():
        assert spec.init is None
        assert spec.checkpoint.model_dump() == {
            "name": "r3d18",
            "format": "3d_resnets",
            "sha256": RELEASED["sha256"],
            "classifier": False,
            "url": None,
        }
    assert all(spec.checkpoint is None for spec in runs_of(from_checkpoint, "scratch").values())


def test_a_moved_checkpoint_is_the_same_run_and_another_one_is_not(from_checkpoint):
    before, scratch = runs_of(from_checkpoint, "r3d18").keys(), runs_of(from_checkpoint, "scratch").keys()
    from_checkpoint["checkpoints"]["r3d18"]["path"] = "/elsewhere/r3d18.pth"
    assert runs_of(from_checkpoint, "r3d18").keys() == before
    for change in ({"sha256": "f" * 64}, {"classifier": True}):
        from_checkpoint["checkpoints"]["r3d18"] = {**RELEASED, **change}
        assert runs_of(from_checkpoint, "r3d18").keys().isdisjoint(before)
    assert runs_of(from_checkpoint, "scratch").keys() == scratch


def test_run_names_are_readable(tiny):
    for run in expand(load_study(tiny)).runs:
        assert re.fullmatch(r"(pretrain-)?[a-z0-9_]+-[a-z0-9_]+\.\d(-50pct)?-s0-[0-9a-f]{8}", run)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.update(sedes=[1]), "sedes: unknown key"),
        (lambda s: s["recipes"]["short"].update(lr=1), "recipes.short.lr: unknown key"),
        (lambda s: s["recipes"]["short"].pop("steps"), "recipes.short.steps: key is missing"),
        (lambda s: s["recipes"]["short"].update(steps=0), "recipes.short.steps: Input should be greater"),
        (lambda s: s["models"]["slow_r50"].update(build="slow_r51"), "models.slow_r50: there is no model 'slow_r51'"),
        (lambda s: s["models"]["dynamonet"]["options"].update(widht=8), "no option 'widht'"),
        (lambda s: s["datasets"]["pool"].update(layout="ucf102"), "datasets.pool.layout: there is no layout 'ucf102'"),
        (
            lambda s: s["experiments"]["ucf101"].update(dataset="hmdb51"),
            "experiments.ucf101.dataset: there is no 'hmdb51'",
        ),
        (lambda s: s["experiments"]["ucf101"].update(splits=[4]), "experiments.ucf101.splits: there is no 4"),
        (lambda s: s["experiments"]["ucf101"].update(recipe="long"), "experiments.ucf101.recipe: there is no 'long'"),
        (
            lambda s: s["experiments"]["ucf101"].update(init=["imagenet"]),
            "experiments.ucf101.init: there is no 'imagenet'",
        ),
        (
            lambda s: s.update(checkpoints={"r3d18": {**RELEASED, "format": "caffe"}}),
            "checkpoints.r3d18.format: there is no 'caffe'",
        ),
        (lambda s: s.update(checkpoints={"r3d18": {**RELEASED, "sha256": "1f"}}), "checkpoints.r3d18.sha256: String"),
        (lambda s: s.update(checkpoints={"labels": RELEASED}), "checkpoints: 'labels' means something else"),
        (lambda s: s.update(checkpoints={"scratch": RELEASED}), "checkpoints: 'scratch' means something else"),
        (lambda s: s.update(checkpoints={"r3d-18": RELEASED}), "checkpoints: 'r3d-18' is not a name"),
        (
            lambda s: (
                s.update(checkpoints={"r3d18": RELEASED}),
                s["experiments"]["kinetics400"].update(models=["slow_r50"], init=["r3d18"]),
            ),
            "experiments.kinetics400.init: model 'slow_r50' takes no checkpoint of format '3d_resnets'",
        ),
        (
            lambda s: (
                s.update(checkpoints={"r3d18": RELEASED}),
                s["experiments"]["labels"].update(init=["r3d18"]),
            ),
            "models.dynamonet: option normalisation is 'kinetics', and a checkpoint of format 3d_resnets was trained "
            "with another: set it to 3d_resnets_2018 or 3d_resnets_2020",
        ),
        (
            lambda s: s["models"]["backbone"]["options"].update(filter_size=4),
            "models.backbone: model 'dynamonet': filter_size must be one of 3, 5, 7, 9, 11, not 4",
        ),
        (
            lambda s: s["models"]["dynamonet"]["options"].update(filter_scales=7),
            "models.dynamonet: model 'dynamonet': filter_scales 7 needs frames whose sides are multiples of 64 pixels",
        ),
        (
            lambda s: s["models"]["slow_r50"].update(build="c2d_r50", clip={"frames": 1, "crop": 32}),
            "models.slow_r50: model 'c2d_r50': it pools frames in pairs, and clip.frames is 1",
        ),
        (lambda s: s["claims"]["pretraining"]["control"].update(model="c3d"), "claims.pretraining.control.model"),
        (lambda s: s.update(name="../evil"), "is not a name"),
        (lambda s: s.update(seeds=3), "seeds: Input should be a valid tuple"),
        (lambda s: s.update(seeds=[0, 0]), "seeds: 0 is there twice"),
        (lambda s: s.update(experiments={}), "experiments: Dictionary should have at least 1 item"),
        (lambda s: s["models"]["backbone"].pop("title"), "titles of models: 'DynamoNet' is there twice"),
        (
            lambda s: [dataset.update(title="Motion") for dataset in s["datasets"].values()],
            "titles of datasets: 'Motion' is there twice",
        ),
        (lambda s: s["models"]["dynamonet"].update(clip={}), "models.dynamonet.clip.frames: key is missing"),
        (lambda s: s["models"]["dynamonet"]["options"].update(prediction="no"), "option prediction is 'no'"),
        (lambda s: s["experiments"]["labels"].update(label_fractions=[2]), "experiments.labels.label_fractions.0"),
        (lambda s: s["experiments"]["ucf101"].update(splits=[]), "experiments.ucf101.splits"),
        (lambda s: s["recipes"]["short"].update(learning_rate=float("inf")), "recipes.short.learning_rate"),
        (lambda s: s["recipes"]["short"].update(prediction_weight=0), "nothing to learn from"),
        (
            lambda s: s["recipes"]["short"].update(mixup=0.2),
            "experiments.pretraining: pretraining uses no labels, so mixup",
        ),
        (
            lambda s: s["recipes"]["short"].update(warmup_steps=7),
            "recipes.short: Value error, a warm-up of more than all 6",
        ),
        (lambda s: s["recipes"]["short"].update(trainable=["head", "head"]), "trainable names a part twice"),
        (lambda s: s["recipes"]["short"].update(schedule="step"), "decay_steps belong to the schedule step"),
        (lambda s: s["recipes"]["short"].update(accumulation=3), "a batch_size of 4 has no 3 equal parts"),
        (lambda s: s["claims"]["pretraining"]["control"].update(init="imagenet"), "claims.pretraining.control.init"),
        (lambda s: s["claims"]["pretraining"]["control"].update(label_fraction=0.3), "control.label_fraction"),
        (lambda s: s.pop("motion"), "no key motion"),
    ],
)
def test_a_wrong_study_is_refused_in_one_sentence(tiny, change, said):
    change(tiny)
    with pytest.raises(UserError) as refusal:
        expand(load_study(tiny))
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_an_experiment_cannot_start_from_itself(tiny):
    tiny["experiments"]["kinetics400"]["init"] = ["ucf101"]
    with pytest.raises(UserError, match="starts from itself"):
        expand(load_study(tiny))


def test_a_parent_must_be_one_run(tiny):
    tiny["experiments"]["kinetics400"]["init"] = ["labels"]
    with pytest.raises(UserError, match="one is needed"):
        expand(load_study(tiny))


def test_a_missing_root_is_named(tiny):
    tiny["datasets"]["pool"]["root"] = "/nowhere/pool"
    with pytest.raises(UserError, match=r"datasets.pool.root: the folder /nowhere/pool does not exist"):
        check_roots(load_study(tiny))


def test_a_missing_checkpoint_is_named(from_checkpoint, tmp_path):
    for name, dataset in from_checkpoint["datasets"].items():
        (tmp_path / name).mkdir()
        dataset["root"] = str(tmp_path / name)
    path = tmp_path / "r3d18.pth"
    from_checkpoint["checkpoints"]["r3d18"]["path"] = str(path)
    with pytest.raises(UserError, match=rf"checkpoints\.r3d18\.path: the file {path} does not exist"):
        check_roots(load_study(from_checkpoint))
    path.touch()
    check_roots(load_study(from_checkpoint))


def test_a_study_file_that_is_no_mapping_is_refused(tmp_path):
    path = tmp_path / "study.yaml"
    for text, said in (("- a", "must be a mapping"), ("a: [", "is not YAML")):
        path.write_text(text)
        with pytest.raises(UserError, match=said):
            read_config(path)
    with pytest.raises(UserError, match="cannot read"):
        read_config(tmp_path / "absent.yaml")


def test_the_root_of_a_folder_study_comes_from_the_command_line(tiny):
    tiny["datasets"]["pool"]["root"] = "{root}/pool"
    with pytest.raises(UserError, match="--config root=PATH"):
        dataset_spec(load_study(tiny), "pool")
    tiny["root"] = "/videos"
    assert dataset_spec(load_study(tiny), "pool").root == "/videos/pool"


def test_written_specs_are_those_announced(from_checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = load_study(from_checkpoint)
    expansion = expand(study)
    write_specs(study, expansion)
    written = {path for path in (tmp_path / "results").rglob("*") if path.is_file()}
    assert written == {tmp_path / path for path in spec_paths(study, expansion)}


def test_the_resolved_study_names_every_run(tiny):
    study = load_study(tiny)
    expansion = expand(study)
    content = resolved(study, expansion)
    named = {run["run"] for experiment in content["experiments"].values() for run in experiment["runs"]}
    assert named == set(expansion.runs)
    assert yaml.safe_load(yaml.safe_dump(content)) == content
