"""What methods cost in gradient evaluations, and how many steps a budget of them pays for."""

from __future__ import annotations

import functools

import pytest
import torch
from support.unlearned import Polluted

from qlab.errors import ConfigError
from qlab.models import MLP, PennyLaneQNN
from qlab.unlearning import (
    NPO,
    SSD,
    AlternatingScrub,
    BadTeacher,
    CFk,
    EUk,
    Finetune,
    FisherForgetting,
    GradientAscent,
    L1Sparse,
    NewtonStep,
    NoisyFinetune,
    PureAscent,
    RandomLabels,
    Relabel,
    Retrain,
    RewindScrub,
    SalUn,
    Scrub,
    Unlearner,
    cross_entropy,
)
from qlab.unlearning.budget import Sizes, afforded

MLP_, QNN = MLP(hidden=(6, 3), dtype="float64", activation="tanh"), PennyLaneQNN(depth=2)
N_R, N_F = 8, 8

COSTS = {
    Retrain: N_R,
    Finetune: N_R,
    NoisyFinetune: N_R,
    L1Sparse: N_R,
    CFk: N_R,
    EUk: N_R,
    GradientAscent: N_R + N_F,
    PureAscent: N_F,
    NPO: N_R + N_F + N_F / 3,
    Scrub: (N_R + N_F) * 4 / 3,
    BadTeacher: (N_R + N_F) * 4 / 3,
    RandomLabels: N_R + N_F,
    Relabel: N_R + N_F,
    SalUn: N_R + N_F,
}
"""Gradient evaluations of a step, from the formulas: rows that are differentiated, a third of those that are not."""


@pytest.fixture(scope="module")
def case(small_task, small_data):
    return functools.cache(lambda model: Polluted(model, small_task, small_data))


@pytest.mark.parametrize("cls", COSTS, ids=lambda cls: cls.__name__)
def test_steps_cost_the_rows_that_their_formulas_name(case, cls):
    before = N_F if cls is SalUn else 0  # the gradient that says which parameters are salient
    found = case(MLP_).unlearn(cls(steps=3))
    assert found.gradient_evaluations == pytest.approx(before + 3 * COSTS[cls])
    assert found.steps == 3


def test_logits_of_a_teacher_and_rewinding_are_forward_passes(case):
    odd, even = N_F * 4 / 3, N_R * 4 / 3
    assert case(QNN).unlearn(AlternatingScrub(steps=12)).gradient_evaluations == pytest.approx(5 * odd + 7 * even)
    one = case(QNN)
    most = max(len(rows) for rows in one.unseen)
    # Two steps; then the forget set of three students, and the unseen rows of the last.
    expected = odd + even + 3 * N_F / 3 + most / 3
    assert one.unlearn(RewindScrub(steps=3)).gradient_evaluations == pytest.approx(expected)


def test_derivatives_cost_their_rows_and_hessian_products_twice_that(case):
    reached = int(case(QNN).trained.model.reached_parameters().sum())
    found = case(QNN).unlearn(NewtonStep(steps=2, damping=1.0))
    assert found.gradient_evaluations == pytest.approx(2 * N_R * (1 + 2 * reached))
    found = case(MLP_).unlearn(NewtonStep(solver="cg", iterations=5))
    assert found.gradient_evaluations == pytest.approx(N_R * (1 + 2 * 5))
    assert case(MLP_).unlearn(SSD()).gradient_evaluations == pytest.approx(N_R + N_F)
    assert case(MLP_).unlearn(FisherForgetting()).gradient_evaluations == pytest.approx(N_R)


def test_mini_batches_take_the_whole_forget_set_each_time(case):
    found = case(MLP_).unlearn(GradientAscent(steps=2, batch_size=3))  # of 3, 3 and 2 rows
    assert found.gradient_evaluations == pytest.approx(2 * (N_R + 3 * N_F))


@pytest.mark.parametrize(
    "method",
    [
        *(cls(budget=100) for cls in COSTS),
        SalUn(budget=100, batch_size=3),
        AlternatingScrub(budget=180),
        RewindScrub(budget=100),
    ],
    ids=lambda method: f"{type(method).__name__}-{method.batch_size}",
)
def test_a_budget_is_spent_by_whole_steps_and_never_exceeded(case, method):
    one = case(MLP_)
    found = one.unlearn(method)
    one_more = one.unlearn(type(method)(steps=found.steps + 1, batch_size=method.batch_size))
    assert found.gradient_evaluations <= method.budget < one_more.gradient_evaluations
    expected = one.unlearn(type(method)(steps=found.steps, batch_size=method.batch_size))
    for name, value in expected.parameters.items():
        assert torch.equal(found.parameters[name], value)
    assert found.gradient_evaluations == expected.gradient_evaluations


def test_a_closed_form_takes_the_steps_it_has_and_says_what_it_spent(case):
    found = case(MLP_).unlearn(SSD(steps=2, budget=1000))
    assert (found.steps, found.gradient_evaluations) == (2, pytest.approx(32.0))


@pytest.mark.parametrize(
    ("method", "least"),
    [
        (GradientAscent(budget=15), "at least 16, which is what one step costs with 8 rows to retain and 8 to forget"),
        (SSD(steps=3, budget=40), "at least 48, which is what its 3 steps cost"),
        (NewtonStep(solver="cg", budget=10), "or let the method do less in a step"),
        (RewindScrub(budget=15), "accepts at least 20"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_budget_below_one_step_is_refused(case, method, least):
    with pytest.raises(ConfigError, match=f"budget: got {method.budget} gradient evaluations.*{least}"):
        case(MLP_).unlearn(method)


def test_a_method_that_costs_nothing_or_cannot_be_counted_has_no_budget(case):
    class Free(Unlearner):
        def update(self, student, teacher, data):
            return 0.9 * student.theta

    class Picky(Unlearner):
        def loss(self, student, teacher, data):
            return cross_entropy(student(data.retain.x), data.retain.y) * (1 / student(data.retain.x).tolist()[0])

    with pytest.raises(ConfigError, match=r"step 1 of Free costs no gradient evaluations.*fills_budget = False"):
        case(MLP_).unlearn(Free(budget=10))
    free = type("Shrink", (Free,), {"fills_budget": False})(steps=3, budget=10)
    assert case(MLP_).unlearn(free).gradient_evaluations == 0  # it takes its three steps
    with pytest.raises(ConfigError, match="what Picky costs could not be counted"):
        case(MLP_).unlearn(Picky(budget=100))


def test_steps_that_are_all_alike_are_counted_once(case):
    one = case(MLP_)
    row = one.data.train_x[:1]
    found = afforded(Finetune(budget=10**12), one.trained.model, Sizes(100, 10), row)
    assert (found.steps, found.evaluations) == (10**10, 10.0**12)
