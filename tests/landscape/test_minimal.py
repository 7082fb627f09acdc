"""The closed forms of supplement I against autograd, PennyLane, and landscapes of the same models."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pennylane as qml
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qlab.landscape import HessianProbe, Landscape, minimal
from qlab.models import PennyLaneQNN
from qlab.tasks import Split

ANGLES = st.floats(-10.0, 10.0)
INPUTS = st.floats(-3.0, 3.0)
LABELS = st.sampled_from([0, 1])


def second_derivative(loss, theta):
    theta = torch.tensor(theta, dtype=torch.float64, requires_grad=True)
    [first] = torch.autograd.grad(loss(theta), theta, create_graph=True)
    [second] = torch.autograd.grad(first, theta)
    return float(second)


def by_hand(z, y):
    """Eq. S1 and S5 as they are printed."""
    p = 1.0 / (1.0 + torch.exp(-z))
    return -(y * torch.log(p) + (1 - y) * torch.log(1 - p))


@settings(max_examples=100, deadline=None)
@given(theta=st.floats(-4.0, 4.0), x=INPUTS, y=LABELS)
def test_the_neuron_against_autograd(theta, x, y):
    expected = second_derivative(lambda t: by_hand(t * x, y), theta)
    found = minimal.neuron_hessian(theta, x, y)
    assert float(found.hessian) == pytest.approx(expected, abs=1e-9)
    assert float(found.b) == 0.0
    assert float(minimal.loss(minimal.neuron_logit(theta, x), y)) == pytest.approx(
        float(by_hand(torch.tensor(theta * x, dtype=torch.float64), y)), abs=1e-10
    )


@settings(max_examples=100, deadline=None)
@given(theta=ANGLES, x=INPUTS, y=LABELS)
def test_the_qubit_against_autograd(theta, x, y):
    expected = second_derivative(lambda t: by_hand(torch.cos(math.pi * x + t), y), theta)
    found = minimal.qubit_hessian(theta, x, y)
    assert float(found.hessian) == pytest.approx(expected, abs=1e-12)
    assert float(found.a) >= 0.0


@qml.qnode(qml.device("default.qubit", wires=1), interface="torch", diff_method="backprop")
def qubit(theta, x):
    """Eqs. S2 to S4."""
    qml.RY(math.pi * x, wires=0)
    qml.RY(theta, wires=0)
    return qml.expval(qml.Z(0))


@pytest.mark.parametrize("theta", [0.0, 0.3, -1.7, 2.5, math.pi])
@pytest.mark.parametrize("x", [-0.4, 0.0, 0.65])
def test_the_qubit_against_pennylane(theta, x):
    assert float(minimal.qubit_logit(theta, x)) == pytest.approx(
        float(qubit(torch.tensor(theta, dtype=torch.float64), x)), abs=1e-12
    )
    for y in (0, 1):
        expected = second_derivative(lambda t, y=y: by_hand(qubit(t, x), y), theta)
        assert float(minimal.qubit_hessian(theta, x, y).hessian) == pytest.approx(expected, abs=1e-10)


def test_the_qubits_second_term_is_that_of_the_parameter_shift_rule():
    theta, x = 0.8, 0.3
    z = [float(qubit(torch.tensor(value, dtype=torch.float64), x)) for value in (theta, theta + math.pi)]
    p = 1.0 / (1.0 + math.exp(-z[0]))
    for y in (0, 1):
        assert float(minimal.qubit_hessian(theta, x, y).b) == pytest.approx((p - y) * (z[1] - z[0]) / 2, abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(theta=ANGLES, x=INPUTS, y=LABELS)
def test_the_first_terms_are_never_negative_and_do_not_know_the_label(theta, x, y):
    for hessian in (minimal.neuron_hessian, minimal.qubit_hessian):
        assert float(hessian(theta, x, y).a) >= 0.0
        assert float(hessian(theta, x, y).a) == float(hessian(theta, x, 1 - y).a)


def test_an_outlier_bends_the_qubit_downwards_and_never_the_neuron():
    """A mislabelled point that the model predicts as well as it can, as the supplement says: p high, y = 0."""
    right, wrong = minimal.qubit_hessian(0.0, 0.0, 1), minimal.qubit_hessian(0.0, 0.0, 0)
    p = 1.0 / (1.0 + math.exp(-1.0))
    assert float(wrong.hessian) == pytest.approx(-p)
    assert float(right.hessian) == pytest.approx(1.0 - p)
    assert float(minimal.neuron_hessian(3.0, 2.0, 0).hessian) == float(minimal.neuron_hessian(3.0, 2.0, 1).hessian) > 0


def test_the_neuron_is_sharpest_where_it_is_uncertain():
    theta = np.linspace(-8.0, 8.0, 401)
    found = minimal.neuron_hessian(theta, 1.5, 1).hessian
    assert theta[found.argmax()] == pytest.approx(0.0)
    assert found.max() == pytest.approx(1.5**2 / 4)
    assert found[0] < 1e-4 * found.max()


def test_arrays_broadcast():
    theta, x, y = np.linspace(-1, 1, 5)[:, None, None], np.linspace(0, 1, 3)[:, None], np.array([0, 1])
    for hessian in (minimal.neuron_hessian, minimal.qubit_hessian):
        found = hessian(theta, x, y)
        assert found.hessian.shape == (5, 3, 2)
        one = hessian(float(theta[4, 0, 0]), float(x[2, 0]), 1)
        assert found.hessian[4, 2, 1] == float(one.hessian)
        assert np.broadcast_shapes(found.a.shape, found.b.shape) == (5, 3, 2)
        assert found.b[4, 2, 1] == float(one.b)


def test_the_loss_does_not_overflow():
    with np.errstate(over="raise", invalid="raise"):
        assert minimal.loss(np.array([800.0, -800.0]), np.array([0, 1])).tolist() == [800.0, 800.0]
        assert minimal.loss(np.array([1e4, -1e4]), np.array([1, 0])).tolist() == [0.0, 0.0]
        extreme = minimal.neuron_hessian(np.array([-1e3, 1e3]), 1.0, 1)
    assert extreme.hessian.tolist() == [0.0, 0.0]


class OneAngle(PennyLaneQNN):
    """The paper's one-qubit classifier: RY(theta) on RY(pi x)|0>."""

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"angle": (1,)}

    def ansatz(self, **weights: Any) -> None:
        qml.RY(weights["angle"][0], wires=0)


def test_a_landscape_of_the_neuron_has_its_hessian(toys):
    x = torch.tensor([0.5, -1.2, 2.0, 0.7], dtype=torch.float64)
    y = torch.tensor([1, 0, 0, 1])
    model = toys.build(toys.Homogeneous(), Split(x[:, None], y))
    found = HessianProbe().measure(Landscape(model, Split(x[:, None], y))).scalars
    terms = minimal.neuron_hessian(float(model.w.detach()), x.numpy(), y.numpy())
    assert found["hessian_trace"] == pytest.approx(terms.hessian.mean(), abs=1e-12)
    assert found["hessian_trace_a"] == pytest.approx(terms.a.mean(), abs=1e-12)
    assert found["hessian_trace_b"] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("theta", [0.0, 0.9, -2.4])
def test_a_landscape_of_the_qubit_has_its_terms(toys, theta):
    x = torch.tensor([0.1, -0.35, 0.6, 0.9], dtype=torch.float64)
    y = torch.tensor([1, 0, 0, 1])
    encoded = torch.stack([torch.cos(math.pi * x / 2), torch.sin(math.pi * x / 2)], dim=1)
    model = OneAngle(scale=1.0).build(toys.features(2))
    with torch.no_grad():
        model.angle.fill_(theta)
    landscape = Landscape(model, Split(encoded, y))
    found = HessianProbe().measure(landscape).scalars
    terms = minimal.qubit_hessian(theta, x.numpy(), y.numpy())
    assert found["hessian_trace_a"] == pytest.approx(terms.a.mean(), abs=1e-12)
    assert found["hessian_trace_b"] == pytest.approx(terms.b.mean(), abs=1e-12)
    assert found["landscape_loss"] == pytest.approx(
        minimal.loss(minimal.qubit_logit(theta, x.numpy()), y.numpy()).mean(), abs=1e-12
    )
