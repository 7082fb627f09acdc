"""Stages: which gates act as one, and that the statevector engine made of them agrees with default.qubit."""

from __future__ import annotations

import numpy as np
import pennylane as qml
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import grad, hessian, jacfwd, jacrev, vmap

from qlab import Features, PennyLaneQNN
from qlab.circuits import Recording, StatevectorEngine, bonds, light_cone, rotation_rows
from qlab.circuits.stage_matrices import steps
from qlab.circuits.stages import Stage, commute, masks, plan

N_WEIGHTS = 6


def unitary(k, seed):
    generator = np.random.default_rng(seed)
    return np.linalg.qr(generator.normal(size=(2**k, 2**k)) + 1j * generator.normal(size=(2**k, 2**k)))[0]


UNITARIES = {k: unitary(k, k) for k in (1, 2, 3)}


def random_weights(*shape, seed=0):
    return 6.0 * torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) - 3.0


def random_states(n, n_wires, seed=0, dtype=torch.complex128):
    """Of norms 1, 1/2, 1/3, ..."""
    x = torch.randn(n, 2**n_wires, dtype=dtype, generator=torch.Generator().manual_seed(seed))
    return x / torch.linalg.vector_norm(x, dim=1, keepdim=True) / torch.arange(1, n + 1)[:, None]


def build(ansatz, n_wires, shapes=None):
    recording = Recording(ansatz, shapes or {"w": (N_WEIGHTS,)}, n_wires)
    return StatevectorEngine(recording, light_cone(recording.gates, n_wires - 1))


def reference(ansatz, n_wires, x):
    """<Z> on the last wire, times the squared norm, as a function of the weights: a QNode on default.qubit."""
    norms = torch.linalg.vector_norm(x, dim=1)

    @qml.qnode(qml.device("default.qubit", wires=n_wires), interface="torch", diff_method="backprop")
    def circuit(w):
        qml.StatePrep((x / norms[:, None]).to(torch.complex128), wires=range(n_wires))
        ansatz(w)
        return qml.expval(qml.Z(n_wires - 1))

    # "+ 0 w": circuits whose readout no weight reaches have no graph.
    return lambda w: circuit(w) * norms.square() + 0.0 * w.square().sum()


@st.composite
def circuits(draw, most_wires=7, most_gates=24):
    """The number of wires, and gates as functions of the weights."""
    n_wires = draw(st.integers(2, most_wires))
    weight = st.integers(0, N_WEIGHTS - 1)
    gates = []
    for _ in range(draw(st.integers(0, most_gates))):
        a, b, *rest = draw(st.permutations(range(n_wires)))
        i, j, k = draw(st.tuples(weight, weight, weight))
        makers = {
            "RX": lambda w, a=a, i=i: qml.RX(w[i], wires=a),
            "RY": lambda w, a=a, i=i: qml.RY(w[i], wires=a),
            "RZ": lambda w, a=a, i=i: qml.RZ(w[i], wires=a),
            "Rot": lambda w, a=a, i=i, j=j, k=k: qml.Rot(w[i], w[j], w[k], wires=a),
            "computed": lambda w, a=a, i=i: qml.RY(torch.sin(w[i]), wires=a),
            "RZZ": lambda w, a=a, b=b, i=i: qml.IsingZZ(w[i], wires=[a, b]),
            "CZ": lambda w, a=a, b=b: qml.CZ(wires=[a, b]),
            "CPhase": lambda w, a=a, b=b, i=i: qml.ControlledPhaseShift(w[i], wires=[a, b]),
            "CNOT": lambda w, a=a, b=b: qml.CNOT(wires=[a, b]),
            "CRX": lambda w, a=a, b=b, i=i: qml.CRX(w[i], wires=[a, b]),
            "RXX": lambda w, a=a, b=b, i=i: qml.IsingXX(w[i], wires=[a, b]),
            "SWAP": lambda w, a=a, b=b: qml.SWAP(wires=[a, b]),
            "unitary": lambda w, a=a, b=b: qml.QubitUnitary(UNITARIES[2], wires=[a, b]),
        }
        if rest:
            c = rest[0]
            makers |= {
                "MultiRZ": lambda w, a=a, b=b, c=c, i=i: qml.MultiRZ(w[i], wires=[a, b, c]),
                "Toffoli": lambda w, a=a, b=b, c=c: qml.Toffoli(wires=[a, b, c]),
                "CCZ": lambda w, a=a, b=b, c=c: qml.CCZ(wires=[a, b, c]),
                "CSWAP": lambda w, a=a, b=b, c=c: qml.CSWAP(wires=[a, b, c]),
                "controlled": lambda w, a=a, b=b, c=c: qml.ctrl(qml.QubitUnitary(UNITARIES[1], c), [a, b], [0, 1]),
                "wide unitary": lambda w, a=a, b=b, c=c: qml.QubitUnitary(UNITARIES[3], wires=[a, b, c]),
            }
        gates.append(makers[draw(st.sampled_from(sorted(makers)))])
    return n_wires, gates


def queue(gates):
    def ansatz(w):
        for gate in gates:
            gate(w)

    return ansatz


@settings(deadline=None, max_examples=40)
@given(circuit=circuits(), seed=st.integers(0, 1000), dtype=st.sampled_from([torch.float64, torch.complex128]))
def test_values_and_gradients_are_those_of_default_qubit(circuit, seed, dtype):
    n_wires, gates = circuit
    x, weights = random_states(3, n_wires, seed, dtype), random_weights(4, N_WEIGHTS, seed=seed)
    expected = reference(queue(gates), n_wires, x)
    engine = build(queue(gates), n_wires)
    prepared = engine.prepare(x)
    found = torch.stack([engine(w, prepared) for w in weights])
    torch.testing.assert_close(found, torch.stack([expected(w) for w in weights]), atol=1e-12, rtol=0)
    torch.testing.assert_close(vmap(engine, in_dims=(0, None))(weights, prepared), found, atol=1e-13, rtol=0)
    jacobian = torch.autograd.functional.jacobian(expected, weights[0])
    value = lambda w: engine(w, prepared) + 0.0 * w.sum()  # noqa: E731
    torch.testing.assert_close(jacrev(value)(weights[0]), jacobian, atol=1e-12, rtol=0)
    torch.testing.assert_close(torch.autograd.functional.jacobian(value, weights[0]), jacobian, atol=1e-12, rtol=0)
    together = vmap(grad(lambda w: value(w).sum()))(weights)
    torch.testing.assert_close(together[0], jacobian.sum(0), atol=1e-12, rtol=0)
    # A row at a time, as landscapes do.
    by_row = vmap(grad(lambda w, row: (engine(w, row[None]) + 0.0 * w.sum())[0]), in_dims=(None, 0))
    torch.testing.assert_close(by_row(weights[0], prepared), jacobian, atol=1e-12, rtol=0)


@settings(deadline=None, max_examples=15)
@given(circuit=circuits(most_wires=7, most_gates=14), seed=st.integers(0, 1000))
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # torch's forward mode
def test_second_derivatives_are_those_of_default_qubit(circuit, seed):
    n_wires, gates = circuit
    x, weights = random_states(2, n_wires, seed), random_weights(2, N_WEIGHTS, seed=seed)
    expected = reference(queue(gates), n_wires, x)
    engine = build(queue(gates), n_wires)
    prepared = engine.prepare(x)
    value = lambda w: engine(w, prepared) @ torch.tensor([1.0, 2.0], dtype=torch.float64) + 0.0 * w.square().sum()  # noqa: E731
    twice = torch.stack(
        [
            torch.autograd.functional.hessian(
                lambda w: expected(w) @ torch.tensor([1.0, 2.0], dtype=torch.float64), weights[row]
            )
            for row in range(2)
        ]
    )
    torch.testing.assert_close(vmap(jacrev(jacrev(value)))(weights), twice, atol=1e-12, rtol=0)
    torch.testing.assert_close(hessian(value)(weights[0]), twice[0], atol=1e-12, rtol=0)
    torch.testing.assert_close(jacfwd(jacfwd(value))(weights[0]), twice[0], atol=1e-12, rtol=0)
    torch.testing.assert_close(torch.autograd.functional.hessian(value, weights[0]), twice[0], atol=1e-12, rtol=0)


@settings(deadline=None, max_examples=100)
@given(circuit=circuits())
def test_a_plan_has_every_gate_once_where_it_may_stand(circuit):
    n_wires, queued = circuit
    gates = Recording(queue(queued), {"w": (N_WEIGHTS,)}, n_wires).gates
    stages = plan(gates)
    order = [position for stage in stages for position in stage.gates]
    assert sorted(order) == list(range(len(gates)))
    for place, position in enumerate(order):
        for later in order[place + 1 :]:
            assert position < later or commute(masks(gates[position]), masks(gates[later]))
    for stage in stages:
        assert len(stage.targets) <= 5
        for position in stage.gates:
            assert set(gates[position].wires) <= {*stage.targets, *stage.controls}
            assert set(gates[position].wires) - gates[position].diagonal_on <= set(stage.targets)


def paper(n_wires, depth, entangler):
    pairs = bonds(n_wires, entangler)
    shapes = {"rotations": (depth, 3, n_wires), "couplings": (depth, len(pairs))}
    return build(lambda rotations, couplings: rotation_rows(rotations, couplings, pairs), n_wires, shapes)


def test_the_papers_mnist_circuit_has_three_stages():
    """135 gates in its light cone of ten qubits."""
    engine = paper(10, 6, "ring")
    assert len(engine.cone.gates) == 135
    assert len(engine.stages) == 3


def test_layers_of_a_stage_are_local_and_phase_steps():
    def ansatz(w):
        for wire in range(3):
            qml.RX(w[0], wires=wire)
        qml.IsingZZ(w[1], wires=[0, 1])
        qml.RY(w[2], wires=2)  # passes the phases of other wires
        qml.CZ(wires=[1, 3])
        qml.RX(w[3], wires=0)
        qml.CNOT(wires=[3, 2])

    gates = Recording(ansatz, {"w": (4,)}, 4).gates
    found = [(step.kind, step.gates) for step in steps(gates, Stage((0, 1, 2), (3,), tuple(range(8))))]
    assert found == [("local", [0, 1, 2, 4]), ("phase", [3, 5]), ("local", [6]), ("dense", [7])]


def test_states_without_imaginary_part_are_kept_without_it():
    engine = paper(3, 2, "ring")
    x, weights = random_states(4, 3, dtype=torch.float64), random_weights(2 * 12)
    real, whole = engine.prepare(x), engine.prepare(x.to(torch.complex128))
    assert (real.shape, whole.shape) == ((4, 8), (4, 8, 2))
    torch.testing.assert_close(engine(weights, real), engine(weights, whole), atol=1e-14, rtol=0)


def test_deep_circuits_are_planned_in_time_and_states_of_one_row_are_taken():
    engine = paper(6, 30, "ring")
    weights = random_weights(30 * 24)
    x = random_states(3, 6)
    whole = engine(weights, engine.prepare(x))
    one_by_one = torch.cat([engine(weights, engine.prepare(row[None])) for row in x])
    torch.testing.assert_close(one_by_one, whole, atol=1e-13, rtol=0)


@pytest.mark.parametrize("values", [[0, 1], [1, 0], [0, 0], [1, 1]], ids=str)
@pytest.mark.parametrize("kind", ["matrix", "angle"])
def test_controls_that_act_when_they_are_zero(values, kind):
    """PennyLane's bind_new_parameters forgets the values of controls."""

    def ansatz(w):
        gate = qml.QubitUnitary(UNITARIES[1], 2) if kind == "matrix" else qml.Rot(w[0], w[1], w[2], wires=2)
        qml.ctrl(gate, [0, 1], values)

    x, weights = random_states(3, 3), random_weights(N_WEIGHTS)
    engine = build(ansatz, 3)
    torch.testing.assert_close(engine(weights, engine.prepare(x)), reference(ansatz, 3, x)(weights), atol=1e-12, rtol=0)


def test_gates_that_pennylane_gives_no_new_parameters_are_recorded_again():
    """The same of an adjoint's base."""

    def ansatz(w):
        qml.adjoint(qml.ctrl(qml.Rot(w[0], w[1], w[2], wires=2), [0, 1], [0, 1]), lazy=True)

    x, weights = random_states(3, 3), random_weights(N_WEIGHTS)
    engine = build(ansatz, 3)
    torch.testing.assert_close(engine(weights, engine.prepare(x)), reference(ansatz, 3, x)(weights), atol=1e-12, rtol=0)


def test_real_states_of_a_complex_data_set_are_prepared_as_the_others():
    """Rows of a data set are joined after they were prepared."""
    model = PennyLaneQNN(depth=6).build(Features(2**6, True, torch.ones(2**6, dtype=torch.bool)))
    assert isinstance(model.engine, StatevectorEngine)
    x = random_states(2, 6, dtype=torch.float64)
    torch.testing.assert_close(model.prepare(x), model.prepare(x.to(torch.complex128)), atol=0, rtol=0)
