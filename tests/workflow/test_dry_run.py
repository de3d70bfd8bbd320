import yaml
from tiny_study import ROOT


def planned(snakemake, *arguments):
    done = snakemake("all", "-n", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stderr + done.stdout


def test_the_demo_is_the_default_and_lists_its_jobs(snakemake, tmp_path):
    said = planned(snakemake)
    for job in ("motion", "prepare hmdb51", "pretrain pretrain-dynamonet-pool.1-s0", "measure r2plus1d_r50", "results"):
        assert f"\n{job}" in said, job
    assert not (tmp_path / "results").exists()


def test_one_experiment_and_what_it_starts_from(snakemake):
    done = snakemake("ucf101", "-n")
    assert done.returncode == 0, done.stderr
    said = done.stderr + done.stdout
    assert "\ntrain dynamonet-ucf101.3-s0" in said and "\ntrain dynamonet-kinetics400.1-s0" in said
    assert "hmdb51" not in said and "\nresults" not in said


def refused(snakemake, *arguments):
    done = snakemake("all", "-n", *arguments)
    assert done.returncode != 0
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return errors[0]


def test_a_wrong_study_ends_before_any_job(snakemake, tiny, tmp_path):
    tiny["recipes"]["short"]["lr"] = 0.1
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(tiny))
    assert "recipes.short.lr: unknown key" in refused(snakemake, "--configfile", str(path))


def test_a_missing_folder_ends_before_any_job(snakemake, tiny, tmp_path):
    tiny["datasets"]["pool"]["root"] = str(tmp_path / "absent")
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(tiny))
    assert f"datasets.pool.root: the folder {tmp_path}/absent" in refused(snakemake, "--configfile", str(path))
    # Tables are written from records, wherever the videos are.
    report = snakemake("report", "-n", "--configfile", str(path))
    assert report.returncode == 0, report.stderr


def test_a_run_waits_for_its_checkpoint_and_a_missing_one_ends_before_any_job(snakemake, tiny, tmp_path):
    weights = tmp_path / "r3d18.pth"
    tiny["checkpoints"] = {"r3d18": {"path": str(weights), "sha256": "0" * 64, "format": "3d_resnets"}}
    tiny["experiments"]["ucf101"]["init"] = ["r3d18"]
    for model in ("dynamonet", "backbone"):
        tiny["models"][model]["options"]["normalisation"] = "3d_resnets_2018"
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(tiny))
    assert f"checkpoints.r3d18.path: the file {weights} does" in refused(snakemake, "--configfile", str(path))
    weights.touch()
    assert "\ntrain dynamonet-ucf101.1-s0" in planned(snakemake, "--configfile", str(path))


def test_a_run_waits_for_its_stored_flow_and_a_missing_folder_ends_before_any_job(snakemake, tiny, tmp_path):
    folder = tmp_path / "flow"
    tiny["datasets"]["ucf101"]["flow_root"] = str(folder)
    tiny["models"]["backbone"] = {**tiny["models"]["backbone"], "build": "two_stream_stored", "init_from": None}
    tiny["experiments"]["ucf101"] |= {"models": ["backbone"], "init": ["scratch"]}
    tiny["experiments"]["kinetics400"]["models"] = tiny["experiments"]["labels"]["models"] = ["dynamonet"]
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(tiny))
    assert f"datasets.ucf101.flow_root: the folder {folder} does" in refused(snakemake, "--configfile", str(path))
    folder.mkdir()
    assert "\ntrain backbone-ucf101.1-s0" in planned(snakemake, "--configfile", str(path))


def test_weights_that_are_taken_as_they_are_are_adopted_and_then_evaluated_or_searched_with(snakemake, tiny, tmp_path):
    about = {"claim": "nothing is trained", "models": ["dynamonet"], "dataset": "kinetics400"}
    tiny["experiments"] |= {
        "search": {**about, "task": "retrieve", "init": ["scratch", "pretraining"], "tables": ["retrieval"]},
        "again": {**about, "task": "evaluate", "init": ["kinetics400"], "tables": ["accuracy"]},
    }
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(tiny))
    said = planned(snakemake, "--configfile", str(path))
    for task, runs in (("retrieve", 2), ("evaluate", 1)):
        for job in ("adopt", task):
            assert said.count(f"\n{job} {task}-dynamonet-kinetics400.1-s0") == runs, job
        for job in {"pretrain", "train", "evaluate", "retrieve"} - {task}:
            assert f"\n{job} {task}-" not in said, job


def test_a_table_that_a_task_does_not_feed_ends_before_any_job(snakemake, tiny, tmp_path):
    tiny["experiments"]["ucf101"]["tables"] = ["retrieval"]
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(tiny))
    said = refused(snakemake, "--configfile", str(path))
    assert "experiments.ucf101.tables: task train does not feed the table retrieval" in said


def test_an_unknown_key_on_the_command_line_is_refused(snakemake):
    assert "sedes: unknown key" in refused(snakemake, "--config", "sedes=3")


def test_a_folder_study_asks_for_its_folder(snakemake):
    assert "--config root=PATH" in refused(snakemake, "--configfile", str(ROOT / "config/folder.yaml"))


def test_the_papers_study_asks_for_the_data_sets(snakemake, tmp_path):
    (tmp_path / "slurm").symlink_to(ROOT / "slurm")
    (tmp_path / "config").symlink_to(ROOT / "config")
    assert "datasets.kinetics400.root: the folder" in refused(snakemake, "--profile", "slurm")
