"""Newton steps: where they lead, in convex models and others, and how they are solved."""

from __future__ import annotations

import functools

import pytest
import torch
from scipy.optimize import minimize
from support.unlearned import Polluted, flat

from qlab.errors import DataError
from qlab.models import MLP, PauliLinear, PennyLaneQNN
from qlab.unlearning import NewtonStep, learner, newton
from qlab.unlearning.changed import check_method

MLP_, QNN, LINEAR = MLP(hidden=(6, 3), dtype="float64"), PennyLaneQNN(depth=2), PauliLinear(sites=2)
DECAY = 0.01


@pytest.fixture(scope="module")
def polluted(small_task, small_data):
    return functools.cache(
        lambda model: Polluted(model, small_task, small_data, 0.25, weight_decay=DECAY, epochs=20, batch_size=16)
    )


def oracle(one):
    """The minimum of the retain set's mean cross-entropy and L2 penalty, by scipy, to rounding."""

    def objective(point):
        theta = torch.tensor(point, requires_grad=True)
        loss = one.mean(theta, one.retain) + DECAY / 2 * theta.square().sum()
        loss.backward()
        return loss.item(), theta.grad.numpy()

    start = torch.zeros(len(one.teacher), dtype=torch.float64).numpy()
    found = minimize(objective, start, jac=True, method="BFGS", options={"gtol": 1e-10})
    return torch.tensor(found.x)


@pytest.mark.parametrize("method", [NewtonStep(steps=6, damping=0.0), NewtonStep(steps=6, damping=0.0, solver="cg")])
def test_newton_steps_land_on_the_oracle_of_a_convex_model(polluted, method):
    case = polluted(LINEAR)
    found = case.unlearn(method, weight_decay=DECAY)
    for row in range(3):
        one = case.alone(row)
        expected = oracle(one)
        assert float((one.teacher - expected).norm()) > 1e-2
        assert float((flat(found, row) - expected).norm()) < 1e-6


def test_damping_shortens_steps_that_still_lead_there(polluted):
    case = polluted(LINEAR)
    distances = []
    for method in (
        NewtonStep(damping=0.0),
        NewtonStep(damping=0.1),
        NewtonStep(damping=10.0),
        NewtonStep(damping=0.01, steps=20),
    ):
        found = case.unlearn(method, 0, weight_decay=DECAY)
        distances.append(float((flat(found, 0) - oracle(case.alone(0))).norm()))
    assert distances[0] < distances[1] < distances[2] < float((case.alone(0).teacher - oracle(case.alone(0))).norm())
    assert distances[3] < 1e-6


def test_a_step_from_a_minimum_is_the_influence_of_the_forget_set(polluted):
    case = polluted(LINEAR)
    one = case.alone(0)
    every = tuple(torch.cat(parts) for parts in zip(one.retain, one.forget, strict=True))
    one.retain, retain = every, one.retain
    minimum = oracle(one)
    case = Moved(case, minimum)
    found = flat(case.unlearn(NewtonStep(damping=0.2), 0, weight_decay=DECAY), 0)
    curved = torch.autograd.functional.hessian(lambda point: one.mean(point, retain), minimum)
    n_f, n_r = len(one.forget[1]), len(retain[1])
    # The penalty is per row: of the forget set's objective, too.
    slope = one.gradient(minimum, one.forget) + DECAY * minimum
    step = torch.linalg.solve(curved + (DECAY + 0.2) * torch.eye(len(minimum)), n_f / n_r * slope)
    torch.testing.assert_close(found, minimum + step, atol=1e-6, rtol=0)


class Moved:
    """The same case with other teachers."""

    def __init__(self, case, theta):
        self.case, self.theta = case, theta

    def unlearn(self, method, *rows, **more):
        trained = self.case.trained
        before = {name: value.clone() for name, value in trained.parameters.items()}
        trained.parameters["coefficients"].copy_(self.theta)
        try:
            return self.case.unlearn(method, *rows, **more)
        finally:
            trained.parameters["coefficients"].copy_(before["coefficients"])


@pytest.mark.parametrize("model", [QNN, MLP_], ids=["QNN", "MLP"])
def test_conjugate_gradients_find_the_step_where_damping_makes_the_hessian_positive(polluted, model):
    case = polluted(model)
    exact, found = (case.unlearn(NewtonStep(damping=20.0, solver=solver)) for solver in ("exact", "cg"))
    for row in range(3):
        torch.testing.assert_close(flat(found, row), flat(exact, row), atol=1e-8, rtol=0)


@pytest.mark.parametrize("solver", ["exact", "cg"])
@pytest.mark.parametrize("model", [QNN, MLP_], ids=["QNN", "MLP"])
def test_steps_lead_downhill_on_the_retain_set_though_it_is_not_convex(polluted, model, solver):
    case = polluted(model)
    found = case.unlearn(NewtonStep(damping=1.0, solver=solver, steps=5, iterations=20))
    losses = found.history["retain_loss"]
    # One of the circuits is where nothing bends or slopes.
    assert (losses[:, -1] < losses[:, 0] + 1e-6).all()
    assert (losses[1:, -1] < losses[1:, 0]).all()


def test_what_steps_cost(polluted):
    case = polluted(LINEAR)
    # 12 of 16 rows are retained; the Hessian of 16 parameters is 16 products of two gradients each.
    assert case.unlearn(NewtonStep(steps=2)).loss_evaluations == pytest.approx(2 * 0.75 * (1 + 2 * 16))
    assert case.unlearn(NewtonStep(solver="cg", iterations=5)).loss_evaluations == pytest.approx(0.75 * (1 + 2 * 5))


def test_a_hessian_that_is_too_large_is_refused_before_anything_runs(polluted, monkeypatch):
    model = polluted(MLP_).trained.model
    monkeypatch.setattr(learner, "HESSIAN_BYTES", 1000)
    with pytest.raises(DataError, match=r"Hessian of MLP with \d+ parameters takes .*bytes.*set solver = \"cg\""):
        check_method(NewtonStep(solver="exact"), model)
    check_method(NewtonStep(solver="cg"), model)


def test_models_of_more_parameters_than_are_soon_decomposed_are_solved_for_by_conjugate_gradients(
    polluted, monkeypatch
):
    case = polluted(MLP_)
    size = len(case.alone(0).teacher)
    exact, products = (flat(case.unlearn(NewtonStep(solver=solver, iterations=3), 0), 0) for solver in ("exact", "cg"))
    assert not torch.equal(exact, products)
    for most, expected in ((size, exact), (size - 1, products)):
        monkeypatch.setattr(newton, "EXACT_PARAMETERS", most)
        assert torch.equal(flat(case.unlearn(NewtonStep(iterations=3), 0), 0), expected)


def test_the_default_step_of_a_network_just_above_the_bound_decomposes_nothing(polluted, monkeypatch):
    case = polluted(MLP(hidden=(38, 40), dtype="float64"))
    assert newton.EXACT_PARAMETERS < len(case.alone(0).teacher) < 1.1 * newton.EXACT_PARAMETERS
    monkeypatch.setattr(newton, "_exact", None)
    losses = case.unlearn(NewtonStep(damping=1.0)).history["retain_loss"]
    assert (losses[:, -1] < losses[:, 0]).all()


def test_a_device_without_second_derivatives_is_refused_before_anything_runs(small_data):
    from qlab.models import Features

    model = PennyLaneQNN(depth=1, device="lightning.qubit").build(Features.of(small_data))
    for solver in ("exact", "cg"):
        with pytest.raises(DataError, match=r"lightning\.qubit has no second derivatives"):
            check_method(NewtonStep(solver=solver), model)


def test_a_teacher_that_is_not_finite_fails_alone(polluted):
    case = polluted(LINEAR)
    kept = case.trained.parameters["coefficients"].clone()
    expected = case.unlearn(NewtonStep(), 1)
    try:
        case.trained.parameters["coefficients"][0, 0] = torch.nan
        for solver in ("exact", "cg"):
            found = case.unlearn(NewtonStep(solver=solver), 0, 1)
            assert found.failures == {0: 1}
            torch.testing.assert_close(flat(found, 1), flat(expected, 0), atol=1e-6, rtol=0)
    finally:
        case.trained.parameters["coefficients"].copy_(kept)
