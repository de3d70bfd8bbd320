"""The whole path on a tiny study: every stage, through Snakemake, twice."""

import json
import shutil
from pathlib import Path

import yaml

MEASURED = {"runtime", "compute", "accuracy_latency", "stage_times"}
"""Tables and figures that hold measured times, which differ from run to run."""


def tables(folder: Path) -> dict[str, bytes]:
    found = sorted((folder / "results/tiny/tables").iterdir())
    return {path.name: path.read_bytes() for path in found if path.name.partition(".")[0] not in MEASURED}


def figures(folder: Path) -> dict[str, bytes]:
    found = sorted((folder / "results/tiny/figures").iterdir())
    return {path.name: path.read_bytes() for path in found if path.name.partition(".")[0] not in MEASURED}


def moved(study: dict, folder: Path) -> dict:
    """The study with the pool of the embedded set under another path."""
    pool = next((folder / "data").glob("motion-*/pool"))
    (folder / "elsewhere").symlink_to(pool)
    return {
        **study,
        "datasets": {**study["datasets"], "pool": {"layout": "unlabelled", "root": str(folder / "elsewhere")}},
    }


def test_two_runs_give_the_same_tables_and_reports_need_no_weights(snakemake, tiny, tmp_path):
    tiny["models"].pop("slow_r50")
    tiny["experiments"]["kinetics400"]["models"] = ["dynamonet", "backbone"]
    tiny["experiments"]["ucf101"].update(models=["dynamonet"], splits=[2])
    tiny["experiments"]["labels"].update(models=["dynamonet"], label_fractions=[0.5])
    tiny_file = tmp_path / "tiny.yaml"
    tiny_file.write_text(yaml.safe_dump(tiny))
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder, trackers in zip(folders, ("[tensorboard]", "[]"), strict=True):
        folder.mkdir()
        config = ("--configfile", str(tiny_file), "--config", f"trackers={trackers}")
        done = snakemake("all", "--cores", "2", *config, folder=folder)
        assert done.returncode == 0, done.stderr
        shown = [(run / "tensorboard").exists() for run in (folder / "results/tiny/runs").iterdir()]
        assert shown and set(shown) == {trackers != "[]"}
        assert (folder / "results/tiny/report.html").is_file()
    one, two = folders
    assert {"accuracy.csv", "cost.md", "ablation.tex", "label_efficiency.csv", "claims.csv"} <= tables(one).keys()
    assert tables(one) == tables(two)
    assert figures(one) == figures(two)

    # Nothing is left to do, and nothing is done again because a file was touched.
    (one / "results/tiny/manifests/kinetics400.parquet").touch()
    again = snakemake("all", "--cores", "2", "--configfile", str(tiny_file), folder=one)
    assert "Nothing to be done" in again.stderr, again.stderr

    # Snakemake's own report holds the page and every figure.
    shown = snakemake("all", "--report", "out.html", "--cores", "1", "--configfile", str(tiny_file), folder=one)
    assert shown.returncode == 0, shown.stderr
    held = (one / "out.html").read_text()
    assert "report.html" in held and all(f"{path.stem}.svg" in held for path in one.glob("results/tiny/figures/*.svg"))

    # Another title or tracker is another plan, and nothing to train or prepare; another folder is another manifest.
    retitled = {**yaml.safe_load(tiny_file.read_text()), "title": "Another title", "trackers": []}
    for study, planned in ((retitled, "3 jobs: 1 specs, 1 results, 1 all"), (moved(retitled, one), " 1 prepare")):
        changed = tmp_path / "changed.yaml"
        changed.write_text(yaml.safe_dump(study))
        plan = snakemake("all", "-n", "--configfile", str(changed), folder=one)
        assert planned in plan.stderr, plan.stderr

    # From records alone: no weights, no checkpoints, no videos.
    before = tables(one), figures(one)
    shutil.rmtree(one / "data")
    shutil.rmtree(one / "results/tiny/tables")
    for weights in (one / "results/tiny/runs").glob("*/model.safetensors"):
        weights.unlink()
    report = snakemake("report", "--cores", "1", "--configfile", str(tiny_file), folder=one)
    assert report.returncode == 0, report.stderr
    assert (tables(one), figures(one)) == before


def test_a_video_that_does_not_decode_stops_the_study_before_training(snakemake, tiny, tmp_path):
    from dynamonet.data.motion_layouts import generate
    from dynamonet.study import load_study

    study = load_study(tiny)
    generate(study.motion, tmp_path / study.motion_root, workers=1)
    victim = next((tmp_path / study.motion_root / "ucf101").rglob("*.avi"))
    victim.write_bytes(b"not a video")
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(tiny))
    manifest = tmp_path / "results/tiny/manifests/ucf101.parquet"
    done = snakemake(str(manifest.relative_to(tmp_path)), "--cores", "1", "--configfile", str(path))
    assert done.returncode != 0
    assert f"{victim.parent.name}/{victim.name}: " in done.stderr
    assert not manifest.exists()
    assert not list((tmp_path / "results/tiny/runs").glob("*/model.safetensors"))


def test_records_say_where_their_numbers_come_from(prepared):
    from dynamonet.engine.fit import fit

    spec_path = prepared("kinetics400", model="backbone")
    fit(spec_path)
    provenance = json.loads((spec_path.parent / "fit.json").read_text())["provenance"]
    for key in ("git_commit", "git_dirty", "code_sha256", "packages", "python", "device", "manifest_sha256", "seed"):
        assert provenance[key] is not None, key
