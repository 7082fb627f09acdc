"""What does not change is computed once: what teachers say of their rows, and rows that all members have in common."""

from __future__ import annotations

import copy
import functools
from collections import Counter
from typing import ClassVar

import pytest
import torch
from support.models import Looped
from support.unlearned import SEEDS, Polluted
from torch.func import functional_call, grad, vmap

from qlab.corruptions import FeatureRandomization, LabelFlip
from qlab.losses import CrossEntropy
from qlab.models import MLP, Model, PennyLaneQNN
from qlab.unlearning import (
    NPO,
    SSD,
    AlternatingScrub,
    Finetune,
    GradientAscent,
    NewtonStep,
    RewindScrub,
    Scrub,
    Unlearner,
)
from qlab.unlearning.cost import Cost
from qlab.unlearning.engine import Unlearned, unlearn
from qlab.unlearning.learner import Setting
from qlab.unlearning.teacher import Teacher

METHODS = [
    Finetune(steps=3),
    Finetune(steps=2, batch_size=3),
    Finetune(steps=2, start_fresh=True),
    GradientAscent(steps=3),
    NPO(steps=3),
    Scrub(steps=3, lambda_kl=0.5),
    AlternatingScrub(steps=4, max_steps=3),
    RewindScrub(steps=4),
    SSD(),
    NewtonStep(),
]
MODELS = [MLP(hidden=(6, 3), dtype="float64"), PennyLaneQNN(depth=2), Looped(hidden=(6, 3), dtype="float64")]


@pytest.fixture(scope="module")
def polluted(small_task, small_data):
    @functools.cache
    def make(model: Model, ratio: float = 0.5) -> Polluted:
        return Polluted(model, small_task, small_data, corruption=LabelFlip(ratio=ratio))

    return make


def on_the_rows_of_one(case: Polluted, method: Unlearner, same_rows: bool) -> Unlearned:
    """Three models, all of which are to forget the rows of the second."""
    return unlearn(
        method,
        copy.deepcopy(case.trained.model),
        case.trained.parameters,
        case.data.members(torch.tensor([1, 1, 1])),
        SEEDS,
        unseen=case.unseen,
        same_rows=same_rows,
    )


@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.parametrize("model", MODELS, ids=["MLP", "QNN", "one by one"])
def test_rows_that_are_held_once_give_the_same_models(polluted, model, method):
    case = polluted(model)
    once, each = (on_the_rows_of_one(case, method, same) for same in (True, False))
    for name, value in each.parameters.items():
        torch.testing.assert_close(once.parameters[name], value, atol=1e-11, rtol=1e-9)
    assert once.loss_evaluations == each.loss_evaluations


def test_features_of_each_member_are_not_taken_for_those_of_the_first(small_task, small_data):
    """Features that were corrupted differ between members; so they are held for each."""
    case = Polluted(MODELS[0], small_task, small_data, corruption=FeatureRandomization(ratio=0.5))
    assert not case.data.shared
    found, expected = case.unlearn(Scrub(steps=2), same_rows=True), case.unlearn(Scrub(steps=2))
    assert all(torch.equal(found.parameters[name], value) for name, value in expected.parameters.items())


class Counting(MLP):
    """Notes on how many rows it is called."""

    calls: ClassVar[Counter[int]] = Counter()

    def forward(self, prepared: torch.Tensor) -> torch.Tensor:
        self.calls[prepared.shape[-2]] += 1
        return super().forward(prepared)


@pytest.mark.parametrize(
    ("method", "retain", "forget"),
    [
        (Scrub(steps=4, lambda_kl=0.5), 4 + 1, 4 + 1),  # the student in each step, the teacher in the first
        (Scrub(steps=4, batch_size=100), 4 + 1, 4 + 1),
        (NPO(steps=4), 4, 4 + 1),
        (Finetune(steps=4), 4, 0),
    ],
)
def test_a_teacher_is_asked_about_the_same_rows_once(polluted, method, retain, forget):
    case = polluted(Counting(hidden=(3,), dtype="float64"), 0.25)
    n = len(case.dataset.train)
    Counting.calls.clear()
    case.unlearn(method, curves=False)
    assert Counting.calls[n * 3 // 4] == retain
    assert Counting.calls[n // 4] == forget


class Careless(Scrub):
    """Writes into what the teacher says."""

    def loss(self, student, teacher, data):
        teacher(data.forget_polluted.x).mul_(3.0)
        return super().loss(student, teacher, data)


class Nested(Scrub):
    """Asks the teacher first inside of a transform of its own."""

    def loss(self, student, teacher, data):
        x = data.forget_polluted.x
        slope = grad(lambda factor: (factor * teacher(x)).sum())(data.retain.y.new_ones(()))
        spread = vmap(lambda factor: factor * teacher(x))(data.retain.y.new_ones(2)).sum()
        with torch.inference_mode():
            teacher(data.retain.x)
        return super().loss(student, teacher, data) + 0.0 * (slope + spread)


@pytest.mark.parametrize("method", [Careless, Nested])
@pytest.mark.parametrize("model", MODELS[:2], ids=["MLP", "QNN"])
def test_what_a_method_does_with_its_teachers_logits_stays_in_the_step(polluted, model, method):
    case = polluted(model)
    found, expected = case.unlearn(method(steps=3, lambda_kl=0.5)), case.unlearn(Scrub(steps=3, lambda_kl=0.5))
    for name, value in expected.parameters.items():
        torch.testing.assert_close(found.parameters[name], value)


def test_a_teacher_knows_only_the_very_rows_that_it_was_given(polluted):
    case = polluted(MODELS[0])
    model = case.trained.model
    parameters = {name: value[0] for name, value in case.trained.parameters.items()}
    x = case.data.train_x
    known = torch.zeros(4, dtype=torch.float64)
    teacher = Teacher(
        Setting(model, CrossEntropy(), Cost(1)), parameters, {"forget": (rows := x[:4])}, {"forget": known}
    )
    assert torch.equal(teacher(rows), known)
    z = functional_call(model, parameters, (x[:4],))
    torch.testing.assert_close(teacher(x[:4]), z)  # equal, but others
    assert teacher.said.keys() == {"forget"}
    assert torch.equal(teacher.at(parameters)(rows), z)  # a learner like any other
