from pathlib import Path

import pytest

from snakemake_executor_plugin_submitit.registry import Registry, job_key


@pytest.fixture
def registry(tmp_path) -> Registry:
    return Registry(tmp_path / "submitit", holder="here-1-0.5")


def leave(entry, *paths: Path) -> None:
    for path in paths or (entry.submitted, entry.result, entry.log, entry.journal):
        path.write_text("x")


def test_a_submission_is_found_again(registry):
    submission = registry.new("train", "slurm", {"k1": "train a", "k2": "train b"})
    submission.job_id = "12"
    registry.save(submission)
    (found,) = Registry(registry.root, holder="another").submissions()
    assert found == submission
    assert (found.rule, found.cluster, found.holder, found.job_id) == ("train", "slurm", "here-1-0.5", "12")
    assert [entry.name for entry in found.entries().values()] == ["train a", "train b"]


def test_a_crash_before_the_id_is_known_leaves_an_open_submission(registry):
    submission = registry.new("train", "slurm", {"k1": "train a"})
    (found,) = registry.submissions()
    assert found.job_id is None
    assert found.comment == submission.comment == f"snakemake-submitit:{submission.id}"
    assert found.folder.is_dir()


def test_submissions_of_one_moment_have_ids_of_their_own(registry):
    made = [registry.new("train", "slurm", {"k": "train"}) for _ in range(5)]
    assert len({one.id for one in made}) == len(registry.submissions()) == 5


def test_a_submission_is_closed_when_all_its_jobs_are_over(registry):
    submission = registry.new("train", "slurm", {"k1": "train a", "k2": "train b"})
    submission.job_id = "12"
    first, second = submission.entries().values()
    registry.close(first, succeeded=False)
    (found,) = registry.submissions()
    assert found.entries().keys() == {"k2"}
    registry.close(found.entries()["k2"], succeeded=False)
    assert registry.submissions() == []
    registry.close(second, succeeded=False)
    assert list(registry.open.iterdir()) == []


def test_tasks_of_an_array_keep_their_numbers(registry):
    submission = registry.new("train", "slurm", {"k1": "train a", "k2": "train b"})
    submission.job_id = "12"
    first, second = submission.entries().values()
    assert (first.job_id, second.job_id) == ("12_0", "12_1")
    registry.close(first, succeeded=False)
    (second,) = submission.entries().values()
    assert second.job_id == "12_1"
    assert second.log == submission.folder / "12_1_0_log.out"
    assert second.submitted == submission.folder / "12_1_submitted.pkl"
    assert first.journal != second.journal


def test_a_single_job_has_the_number_of_its_submission(registry):
    submission = registry.new("train", "slurm", {"k1": "train a"})
    submission.job_id = "12"
    (entry,) = submission.entries().values()
    assert entry.job_id == "12"
    assert entry.result == submission.folder / "12_0_result.pkl"


def test_of_a_job_that_succeeded_the_log_is_kept(registry):
    submission = registry.new("train", "slurm", {"k1": "train a", "k2": "train b"})
    submission.job_id = "12"
    first, second = submission.entries().values()
    leave(first)
    leave(second)
    registry.close(first, succeeded=True)
    assert first.log.exists() and not first.result.exists() and not first.submitted.exists()
    assert second.submitted.exists()
    registry.close(second, succeeded=True)
    assert sorted(submission.folder.iterdir()) == [first.log, second.log]


def test_of_a_job_that_failed_everything_is_kept(registry):
    submission = registry.new("train", "slurm", {"k1": "train a"})
    submission.job_id = "12"
    (entry,) = submission.entries().values()
    leave(entry)
    registry.close(entry, succeeded=False)
    assert len(list(submission.folder.iterdir())) == 4


def test_a_job_is_known_by_the_files_that_it_makes():
    assert job_key(["b", "a"], target="rule x") == job_key(["a", "b"], target="rule y")
    assert job_key(["a"], target="rule x") != job_key(["b"], target="rule x")
    assert job_key(["a", "b"], target="") != job_key(["ab"], target="")


def test_a_job_that_makes_no_file_is_known_by_its_target():
    assert job_key([], target="rule x") == job_key([], target="rule x") != job_key([], target="rule y")
