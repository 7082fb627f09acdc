"""Recording an ansatz: gates, parameters, and what is refused."""

from __future__ import annotations

import numpy as np
import pennylane as qml
import pytest
import torch

from qlab.circuits import HeisenbergEngine, Recording, StatevectorEngine, light_cone
from qlab.errors import ConfigError


def values(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def recorded_parameters(ansatz, shapes, flat, n_wires=2):
    return [float(parameter) for parameter in Recording(ansatz, shapes, n_wires).parameters(flat)]


def engine_value(engine, ansatz, shapes, flat, x, n_wires):
    recording = Recording(ansatz, shapes, n_wires)
    built = engine(recording, light_cone(recording.gates, n_wires - 1))
    return built(flat, built.prepare(x))


def random_states(n, n_wires):
    x = torch.randn(n, 2**n_wires, dtype=torch.complex128, generator=torch.Generator().manual_seed(3))
    return x / torch.linalg.vector_norm(x, dim=1, keepdim=True)


def test_gates_have_wires_slots_and_diagonal_wires():
    def ansatz(w):
        qml.Rot(w[0], w[1], w[2], wires=1)
        qml.CNOT(wires=[1, 0])
        qml.IsingZZ(w[3], wires=[0, 1])

    rot, cnot, rzz = Recording(ansatz, {"w": (4,)}, 2).gates
    assert (rot.wires, rot.slots, rot.diagonal_on) == ((1,), (0, 1, 2), frozenset())
    assert (cnot.wires, cnot.slots, cnot.diagonal_on) == ((1, 0), (), frozenset({1}))
    assert (rzz.wires, rzz.slots, rzz.diagonal_on) == ((0, 1), (3,), frozenset({0, 1}))


def test_weights_reach_the_ansatz_by_name_and_shape():
    def ansatz(a, b):
        assert (a.shape, b.shape) == ((2, 3), (1,))
        qml.RX(b[0], wires=0)
        qml.RY(a[1, 2], wires=0)
        qml.RZ(a[0, 1], wires=0)

    flat = torch.arange(7, dtype=torch.float64)
    assert recorded_parameters(ansatz, {"a": (2, 3), "b": (1,)}, flat) == [6.0, 5.0, 1.0]


def test_plain_weights_are_gathered_by_index():
    def ansatz(w):
        for layer in w.reshape(2, 2).mT:
            qml.RX(layer[0], wires=0)
            qml.RY(layer[1], wires=1)

    recording = Recording(ansatz, {"w": (4,)}, 2)
    assert recording.index is not None
    assert recording.index.tolist() == [0, 2, 1, 3]


@pytest.mark.parametrize(
    ("arrange", "expected"),
    [
        pytest.param(lambda w: 2 * w, [0.4, 0.6], id="doubled"),
        pytest.param(torch.sin, [0.19866933079506122, 0.29552020666133955], id="sine"),
        pytest.param(lambda w: w + 0.5, [0.7, 0.8], id="shifted"),
        pytest.param(lambda w: w.flip(0), [0.3, 0.2], id="reversed"),
        pytest.param(lambda w: w.cumsum(0), [0.2, 0.5], id="summed"),
        pytest.param(lambda w: torch.stack([w[1], w[0]]), [0.3, 0.2], id="stacked"),
        pytest.param(lambda w: torch.stack([w[0], w[0]]), [0.2, 0.2], id="shared"),
        pytest.param(lambda w: torch.cat([w[:1], -w[:1]]), [0.2, -0.2], id="negated"),
        pytest.param(lambda w: torch.cat([w[:1], values(0.5)]), [0.2, 0.5], id="joined with a constant"),
        pytest.param(lambda w: torch.stack([torch.zeros_like(w[0]), w[1]]), [0.0, 0.3], id="stacked with a constant"),
        pytest.param(lambda w: torch.nn.functional.pad(w[:1], (0, 1)), [0.2, 0.0], id="padded"),
        pytest.param(lambda w: torch.where(values(1, 0) > 0, w, values(9, 9)), [0.2, 9.0], id="masked"),
        pytest.param(lambda w: [w[0], 0.1], [0.2, 0.1], id="a number among weights"),
        pytest.param(lambda w: w.detach(), [0.2, 0.3], id="detached"),
    ],
)
def test_parameters_are_what_the_ansatz_computes(arrange, expected):
    def ansatz(w):
        angles = arrange(w)
        qml.RX(angles[0], wires=0)
        qml.RY(angles[1], wires=0)

    assert recorded_parameters(ansatz, {"w": (2,)}, values(0.2, 0.3)) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("engine", [HeisenbergEngine, StatevectorEngine])
@pytest.mark.parametrize("function", [pytest.param(lambda w: 2 * w, id="2w"), pytest.param(torch.sin, id="sin w")])
def test_computed_angles_agree_with_the_same_angles_as_weights(engine, function):
    """Values, and gradients through the chain rule."""

    def direct(w):
        for wire in range(3):
            qml.RX(w[0, wire], wires=wire)
            qml.RY(w[1, wire], wires=wire)
        qml.IsingXX(w[2, 0], wires=[0, 1])
        qml.CRY(w[2, 1], wires=[1, 2])
        qml.RX(w[2, 2], wires=2)

    def computed(w):
        direct(function(w))

    shapes, x = {"w": (3, 3)}, random_states(4, 3)
    weights = torch.linspace(-1.0, 2.0, 9, dtype=torch.float64)
    assert Recording(direct, shapes, 3).index is not None
    assert Recording(computed, shapes, 3).index is None
    first, second = weights.clone().requires_grad_(), weights.clone().requires_grad_()
    by_index = engine_value(engine, direct, shapes, function(first), x, 3)
    by_call = engine_value(engine, computed, shapes, second, x, 3)
    torch.testing.assert_close(by_call, by_index, atol=1e-13, rtol=0)
    by_index.sum().backward()
    by_call.sum().backward()
    torch.testing.assert_close(second.grad, first.grad, atol=1e-12, rtol=0)


def test_named_cuts_the_flat_vector():
    recording = Recording(lambda a, b: None, {"a": (2, 2), "b": (3,)}, 1)
    named = recording.named(torch.arange(7, dtype=torch.float64))
    assert named["a"].tolist() == [[0.0, 1.0], [2.0, 3.0]]
    assert named["b"].tolist() == [4.0, 5.0, 6.0]
    assert recording.n_weights == 7


def test_wide_operations_are_decomposed():
    def ansatz(w):
        qml.StronglyEntanglingLayers(w, wires=range(3))
        qml.QFT(wires=range(5))

    gates = Recording(ansatz, {"w": (1, 3, 3)}, 5).gates
    assert max(len(gate.wires) for gate in gates) <= 4
    assert sum(gate.operation.name == "Rot" for gate in gates) == 3


def measures(w):
    qml.RX(w[0], wires=0)
    return qml.expval(qml.Z(0))


def divides_by_zero(w):
    return 1 / 0


def unknown_weight(v):
    qml.RX(v[0], wires=0)


@pytest.mark.parametrize(
    ("ansatz", "message"),
    [
        pytest.param(measures, "queues operations only; qlab measures the observable", id="measurement"),
        pytest.param(lambda w: qml.RX(w[0], wires=7), "RX on wire 7; the register has wires 0 to 1", id="wire outside"),
        pytest.param(lambda w: qml.CNOT(wires=[0, "a"]), "CNOT on wire a", id="wire with another name"),
        pytest.param(divides_by_zero, "ZeroDivisionError: division by zero", id="exception"),
        pytest.param(unknown_weight, 'takes "v", which is no weight: weight_shapes has w', id="weight of another name"),
        pytest.param(lambda w: qml.RX(w[5], wires=0), "IndexError", id="index out of range"),
    ],
)
def test_ansatz_that_cannot_be_used_is_refused(ansatz, message):
    with pytest.raises(ConfigError, match=message):
        Recording(ansatz, {"w": (2,)}, 2)


@pytest.mark.parametrize(
    ("ansatz", "name"),
    [
        pytest.param(lambda w: qml.Hermitian(np.eye(2) / 2, wires=0), "Hermitian, which is not", id="observable"),
        pytest.param(lambda w: qml.measure(0), "MidMeasure.*, which measures", id="measurement inside the circuit"),
    ],
)
def test_operations_that_are_not_unitary_are_refused_without_a_warning(ansatz, name):
    with pytest.raises(ConfigError, match=f"The ansatz contains {name}"):
        Recording(ansatz, {"w": (2,)}, 2)


def test_a_vector_where_one_angle_is_expected_is_refused():
    with pytest.raises(ConfigError, match="RX"):
        Recording(lambda w: qml.RX(w, wires=0), {"w": (2,)}, 2)


def test_gates_that_depend_on_weights_are_refused():
    def ansatz(w):
        (qml.RX if w[0] > 0 else qml.RY)(2 * w[0], wires=0)

    with pytest.raises(
        ConfigError, match=r"line \d+: The ansatz looks at the value of a weight\. .* torch\.where for if"
    ):
        Recording(ansatz, {"w": (1,)}, 1)
