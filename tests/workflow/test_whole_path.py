"""The whole path on the demo cut short, once it has been gone: what is not done again, and what needs records alone."""

import json
import shutil
from pathlib import Path

import yaml
from short_demo import results


def moved(study: dict, folder: Path) -> dict:
    """The study with the pool of the embedded set under another path."""
    pool = next((folder / "data").glob("motion-*/pool"))
    (folder / "elsewhere").symlink_to(pool)
    return {
        **study,
        "datasets": {**study["datasets"], "pool": {"layout": "unlabelled", "root": str(folder / "elsewhere")}},
    }


def test_nothing_is_done_again_and_reports_need_no_weights(snakemake, finished_demo, short_demo, tmp_path):
    shutil.copytree(finished_demo / "as-made", tmp_path, dirs_exist_ok=True)
    runs = list(tmp_path.glob("results/demo/runs/*/fit.json"))
    assert runs and all((fit.parent / "tensorboard").exists() for fit in runs)
    made = results(tmp_path)
    assert {"accuracy.csv", "cost.md", "ablation.tex", "label_efficiency.csv", "effects.csv"} <= made.keys()
    (tmp_path / "demo.yaml").write_text(yaml.safe_dump(short_demo))
    study = ("--configfile", "demo.yaml")

    # Nothing is left to do, and nothing is done again because a file was touched.
    (tmp_path / "results/demo/manifests/kinetics400.parquet").touch()
    again = snakemake("all", "--cores", "2", *study)
    assert "Nothing to be done" in again.stderr, again.stderr

    # Snakemake's own report holds the page and every figure.
    shown = snakemake("all", "--report", "out.html", "--cores", "1", *study)
    assert shown.returncode == 0, shown.stderr
    held = (tmp_path / "out.html").read_text()
    drawn = list(tmp_path.glob("results/demo/figures/*.svg"))
    assert drawn and "report.html" in held and all(f"{path.stem}.svg" in held for path in drawn)

    # Another title or tracker is another plan, and nothing to train or prepare; another folder is another manifest.
    retitled = {**short_demo, "title": "Another title", "trackers": []}
    for changed, planned in (
        (retitled, "3 jobs: 1 specs, 1 results, 1 all"),
        (moved(retitled, tmp_path), " 1 prepare"),
    ):
        (tmp_path / "changed.yaml").write_text(yaml.safe_dump(changed))
        plan = snakemake("all", "-n", "--configfile", "changed.yaml")
        assert planned in plan.stderr, plan.stderr

    # From records alone: no weights, no checkpoints, no videos.
    shutil.rmtree(tmp_path / "data")
    shutil.rmtree(tmp_path / "results/demo/tables")
    for weights in (tmp_path / "results/demo/runs").glob("*/model.safetensors"):
        weights.unlink()
    (tmp_path / "changed.yaml").write_text(yaml.safe_dump(retitled))
    report = snakemake("report", "--cores", "1", "--configfile", "changed.yaml")
    assert report.returncode == 0, report.stderr
    assert results(tmp_path) == made
    assert "<h1>Another title" in (tmp_path / "results/demo/report.html").read_text()


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
