import pytest

from dynamonet.errors import UserError
from dynamonet.planning.timetable import Task, longest_chain_s, wall_s

CHAIN = {"pretrain": Task(10), "train": Task(20, needs=("pretrain",)), "finetune": Task(30, needs=("train",))}


def test_a_chain_takes_the_sum_whatever_the_devices():
    assert longest_chain_s(CHAIN) == 60
    assert wall_s(CHAIN, devices=1, jobs=1) == wall_s(CHAIN, devices=8, jobs=8) == 60


def test_independent_tasks_share_the_devices():
    tasks = {name: Task(10) for name in "abcde"}
    assert wall_s(tasks, devices=2, jobs=100) == 30
    assert wall_s(tasks, devices=5, jobs=100) == 10
    assert longest_chain_s(tasks) == 10


def test_what_has_the_longest_chain_behind_it_starts_first():
    # b and c could start first: then a's chain would end at 4 + 5 + 10.
    tasks = {"b": Task(4), "c": Task(4), "a": Task(5), "d": Task(10, needs=("a",))}
    assert wall_s(tasks, devices=2, jobs=2) == 15


def test_a_task_holds_its_devices_and_smaller_ones_go_past_it():
    tasks = {"wide": Task(10, devices=4), "first": Task(20), "narrow": Task(3)}
    # first and narrow run from 0; wide waits for all four devices.
    assert wall_s(tasks, devices=4, jobs=10) == 30
    assert wall_s(tasks, devices=5, jobs=10) == 20


def test_no_more_jobs_at_once_than_the_profile_has():
    assert wall_s({name: Task(10) for name in "abcd"}, devices=4, jobs=2) == 20


def test_what_is_needed_and_not_there_is_done():
    assert wall_s({"finetune": CHAIN["finetune"]}, devices=1, jobs=1) == 30
    assert longest_chain_s({"finetune": CHAIN["finetune"]}) == 30
    assert wall_s({}, devices=1, jobs=1) == 0


def test_more_devices_than_there_are_is_refused():
    with pytest.raises(UserError, match="train x asks for 8 devices: plan with --gpus 8"):
        wall_s({"train x": Task(1, devices=8)}, devices=4, jobs=1)
