"""What one of several workers takes at a time."""

from __future__ import annotations

import pytest

from qlab.experiment import schema
from qlab.experiment.plan import Plan
from qlab.experiment.portions import portion

FILE = """
name = "cut"
[task]
type = "XXZ"
length = 4
[corruption]
type = "LabelFlip"
ratio = 0.25
[[model]]
type = "MLP"
hidden = [4]
[[model]]
type = "PennyLaneQNN"
[run]
seeds = 10
"""

METHODS = """
[[unlearner]]
type = "Finetune"
[[unlearner]]
type = "Scrub"
"""


def plan_of(text, **values):
    pairs = [(key.replace("_", "."), value) for key, value in values.items()]
    return Plan.of(schema.parse(text, source="cut.toml", assignments=pairs), None)


def test_a_worker_alone_takes_everything():
    plan = plan_of(FILE)
    assert portion(plan.ensembles, (), 1) == [trial.key for trial in plan.todo]


@pytest.mark.parametrize(("workers", "size"), [(2, 5), (3, 4), (10, 1), (40, 1)])
def test_one_of_several_takes_a_part_of_one_ensemble(workers, size):
    plan = plan_of(FILE)
    found = portion(plan.ensembles, (), workers)
    assert found == [trial.key for trial in plan.ensembles[0][:size]]


def test_what_others_are_at_is_left_to_them():
    plan = plan_of(FILE)
    taken = portion(plan.ensembles, (), 2)
    assert portion(plan.ensembles, set(taken), 2) == [trial.key for trial in plan.ensembles[0][5:]]
    assert portion(plan.ensembles, {trial.key for trial in plan.ensembles[0]}, 2) == [
        trial.key for trial in plan.ensembles[1][:5]
    ]
    assert portion(plan.ensembles, {trial.key for trial in plan.todo}, 2) == []


def test_what_belongs_to_a_teacher_stays_together():
    plan = plan_of(FILE + METHODS)
    found = portion(plan.unlearnings, (), 2)
    assert len(found) == 10
    teachers = [item.teacher.key for item in plan.todo_unlearnings if item.key in found]
    assert len(set(teachers)) == 5
    # One of a teacher's two methods is with another worker: so is the teacher.
    assert set(portion(plan.unlearnings, found[:1], 2)).isdisjoint(found[:2])


def test_many_small_ensembles_are_taken_several_at_a_time():
    widths = ", ".join(f"[{width}]" for width in range(1, 201))
    plan = plan_of(FILE.replace("hidden = [4]", f"hidden = [{widths}]"), run_seeds=1)
    left, rounds = list(plan.ensembles), 0
    while left:
        mine = set(portion(left, (), 2))
        assert mine
        left = [group for group in left if group[0].key not in mine]
        rounds += 1
    assert rounds < 30
