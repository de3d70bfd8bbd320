import yaml

from dynamonet.files import read_json


def test_jobs_share_the_checking_of_a_data_set(snakemake, tiny, tmp_path):
    tiny["datasets"]["ucf101"]["shards"] = 2
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tiny))
    manifests = tmp_path / "results/tiny/manifests"
    target = "results/tiny/manifests/ucf101.parquet"
    done = snakemake(target, "--cores", "2", "--configfile", "study.yaml")
    assert done.returncode == 0, done.stderr
    shards = [read_json(tmp_path / f"results/tiny/checks/ucf101.{number}-of-2.json") for number in (1, 2)]
    counts = read_json(manifests / "ucf101.json")["counts"]
    assert sum(shard["counts"]["looked_at"] for shard in shards) == counts["listed"] == counts["decodable"]
    assert counts["looked_at"] == 0
    assert (manifests / "ucf101.md").read_text().startswith("# Preparation of ucf101\n")
    (manifests / "ucf101.parquet").unlink()
    again = snakemake(target, "--cores", "2", "--configfile", "study.yaml")
    assert again.returncode == 0 and "check_videos" not in again.stderr, again.stderr
