"""Both engines against PennyLane's default.qubit, parameter shift and each other."""

from __future__ import annotations

import math

import numpy as np
import pennylane as qml
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import grad, hessian, jacrev, vmap

from qlab.circuits import HeisenbergEngine, Recording, StatevectorEngine, bonds, light_cone, rotation_rows
from qlab.circuits.matrices import fuse

ENGINES = [HeisenbergEngine, StatevectorEngine]
N_WEIGHTS = 6


def random_states(n, n_wires, seed=0):
    """States of different norms, none of them 1."""
    return torch.randn(n, 2**n_wires, dtype=torch.complex128, generator=torch.Generator().manual_seed(seed))


def random_weights(*shape, seed=0):
    return 6.0 * torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) - 3.0


def build(engine, ansatz, shapes, n_wires):
    recording = Recording(ansatz, shapes, n_wires)
    return engine(recording, light_cone(recording.gates, n_wires - 1))


def reference(ansatz, n_wires, weights, x):
    """<Z> on the last wire, times the squared norm, by a QNode run state by state; and its gradient."""

    @qml.qnode(qml.device("default.qubit", wires=n_wires), interface="torch", diff_method="backprop")
    def circuit(w, state):
        qml.StatePrep(state, wires=range(n_wires))
        ansatz(w)
        return qml.expval(qml.Z(n_wires - 1))

    w = weights.clone().requires_grad_()
    values = []
    for row in x:
        norm = torch.linalg.vector_norm(row)
        values.append(circuit(w, row / norm) * norm**2)
    stacked = torch.stack(values)
    # "+ 0 w": circuits whose readout no weight reaches have no graph.
    weighted = stacked @ torch.arange(1.0, len(x) + 1, dtype=torch.float64) + 0.0 * w.sum()
    [gradient] = torch.autograd.grad(weighted, w)
    return stacked.detach(), gradient


def assert_engines_agree_with_pennylane(ansatz, n_wires, *, rows=3, seed=0):
    x, weights = random_states(rows, n_wires, seed), random_weights(N_WEIGHTS, seed=seed)
    values, gradient = reference(ansatz, n_wires, weights, x)
    scale = float(torch.linalg.vector_norm(x, dim=1).square().max())
    for engine in ENGINES:
        built = build(engine, ansatz, {"w": (N_WEIGHTS,)}, n_wires)
        w = weights.clone().requires_grad_()
        found = built(w, built.prepare(x))
        assert (found.shape, found.dtype) == ((rows,), torch.float64)
        torch.testing.assert_close(found.detach(), values, atol=1e-11 * scale, rtol=0)
        weighted = found @ torch.arange(1.0, rows + 1, dtype=torch.float64) + 0.0 * w.sum()
        [found_gradient] = torch.autograd.grad(weighted, w)
        torch.testing.assert_close(found_gradient, gradient, atol=1e-10 * scale, rtol=0)


UNITARY = np.linalg.qr(
    np.random.default_rng(0).normal(size=(4, 4)) + 1j * np.random.default_rng(1).normal(size=(4, 4))
)[0]


def surrounded(queue):
    """The gate between rotations, so that every matrix element matters."""

    def ansatz(w):
        for wire in range(3):
            qml.RX(w[wire], wires=wire)
            qml.RY(w[5 - wire], wires=wire)
        queue(w)
        for wire in range(3):
            qml.RY(w[wire + 3], wires=wire)
        qml.CNOT(wires=[0, 1])
        qml.CNOT(wires=[1, 2])
        qml.RX(w[1], wires=2)

    return ansatz


@pytest.mark.parametrize(
    "queue",
    [
        pytest.param(lambda w: qml.CNOT(wires=[2, 0]), id="CNOT"),
        pytest.param(lambda w: qml.CZ(wires=[2, 0]), id="CZ"),
        pytest.param(lambda w: qml.SWAP(wires=[0, 2]), id="SWAP"),
        pytest.param(lambda w: qml.CRX(w[0], wires=[2, 1]), id="CRX"),
        pytest.param(lambda w: qml.CRot(w[0], w[1], w[2], wires=[0, 2]), id="CRot"),
        pytest.param(lambda w: qml.Rot(w[5], w[1], w[2], wires=1), id="Rot"),
        pytest.param(lambda w: qml.U3(w[5], w[1], w[2], wires=2), id="U3"),
        pytest.param(lambda w: qml.PhaseShift(w[0], wires=1), id="PhaseShift"),
        pytest.param(lambda w: qml.IsingXX(w[0], wires=[2, 0]), id="IsingXX"),
        pytest.param(lambda w: qml.IsingXY(w[0], wires=[2, 0]), id="IsingXY"),
        pytest.param(lambda w: qml.IsingZZ(w[0], wires=[2, 0]), id="IsingZZ"),
        pytest.param(lambda w: qml.SingleExcitation(w[0], wires=[2, 0]), id="SingleExcitation"),
        pytest.param(lambda w: qml.MultiRZ(w[0], wires=[2, 0, 1]), id="MultiRZ"),
        pytest.param(lambda w: qml.PauliRot(w[0], "XYZ", wires=[2, 0, 1]), id="PauliRot"),
        pytest.param(lambda w: [qml.PauliRot(w[0], p, wires=[2, 0]) for p in ("XY", "ZZ")], id="PauliRots"),
        pytest.param(lambda w: qml.PauliRot(w[0], "IX", wires=[2, 0]), id="PauliRot with an identity"),
        pytest.param(lambda w: qml.Toffoli(wires=[2, 0, 1]), id="Toffoli"),
        pytest.param(lambda w: qml.CSWAP(wires=[2, 0, 1]), id="CSWAP"),
        pytest.param(lambda w: qml.QubitUnitary(UNITARY, wires=[2, 0]), id="QubitUnitary"),
        pytest.param(lambda w: qml.StronglyEntanglingLayers(w.reshape(1, 2, 3), wires=[0, 2]), id="templates"),
        pytest.param(lambda w: qml.BasicEntanglerLayers(w.reshape(2, 3), wires=range(3)), id="more templates"),
        pytest.param(lambda w: qml.adjoint(qml.RX)(w[0], wires=1), id="adjoint"),
        pytest.param(lambda w: qml.ctrl(qml.Rot, control=2, control_values=0)(w[0], w[1], w[2], wires=0), id="ctrl"),
        pytest.param(lambda w: qml.exp(qml.X(0) @ qml.Z(2), 0.25j), id="exp"),
        pytest.param(lambda w: qml.prod(qml.RX(w[0], wires=0), qml.RY(w[1], wires=2)), id="prod"),
        pytest.param(lambda w: qml.QFT(wires=range(3)), id="QFT"),
        pytest.param(lambda w: qml.Barrier(wires=range(3)), id="Barrier"),
        pytest.param(lambda w: qml.GlobalPhase(w[0], wires=range(3)), id="GlobalPhase"),
        pytest.param(lambda w: qml.RX(torch.sin(w[0]) * w[1], wires=0), id="computed angle"),
        pytest.param(lambda w: qml.RX(0.1, wires=0), id="constant angle, a Python number"),
        pytest.param(lambda w: qml.RX(np.float64(0.1), wires=0), id="constant angle, a NumPy number"),
    ],
)
def test_engines_run_any_unitary_pennylane_operation(queue):
    assert_engines_agree_with_pennylane(surrounded(queue), 3)


@st.composite
def circuits(draw):
    """The number of wires, and gates as functions of the weights."""
    n_wires = draw(st.integers(2, 4))
    wires = st.permutations(range(n_wires))
    weight = st.integers(0, N_WEIGHTS - 1)
    gates = []
    for _ in range(draw(st.integers(0, 10))):
        a, b, *rest = draw(wires)
        i, j, k = draw(st.tuples(weight, weight, weight))
        makers = [
            lambda w, a=a, i=i: qml.RX(w[i], wires=a),
            lambda w, a=a, i=i: qml.RY(w[i], wires=a),
            lambda w, a=a, i=i: qml.RZ(w[i], wires=a),
            lambda w, a=a, i=i, j=j, k=k: qml.Rot(w[i], w[j], w[k], wires=a),
            lambda w, a=a, b=b: qml.CNOT(wires=[a, b]),
            lambda w, a=a, b=b: qml.CZ(wires=[a, b]),
            lambda w, a=a, b=b: qml.SWAP(wires=[a, b]),
            lambda w, a=a, b=b, i=i: qml.CRX(w[i], wires=[a, b]),
            lambda w, a=a, b=b, i=i: qml.IsingXX(w[i], wires=[a, b]),
            lambda w, a=a, b=b, i=i: qml.IsingZZ(w[i], wires=[a, b]),
            lambda w, a=a, b=b, i=i: qml.MultiRZ(w[i], wires=[a, b]),
            lambda w, a=a, b=b, i=i: qml.PauliRot(w[i], "YZ", wires=[a, b]),
            lambda w, a=a, b=b: qml.QubitUnitary(UNITARY, wires=[a, b]),
            lambda w, a=a, b=b, rest=rest: qml.Toffoli(wires=[a, b, rest[0]]) if rest else qml.CY(wires=[a, b]),
            lambda w, a=a, b=b: qml.StronglyEntanglingLayers(w.reshape(1, 2, 3), wires=[a, b]),
        ]
        gates.append(draw(st.sampled_from(makers)))
    return n_wires, gates


@settings(deadline=None, max_examples=60)
@given(circuit=circuits(), seed=st.integers(0, 1000))
def test_engines_agree_with_pennylane_on_random_circuits(circuit, seed):
    n_wires, gates = circuit

    def ansatz(w):
        for gate in gates:
            gate(w)

    assert_engines_agree_with_pennylane(ansatz, n_wires, rows=2, seed=seed)


def paper_engine(engine, n_wires=4, depth=3, entangler="chain"):
    pairs = bonds(n_wires, entangler)
    shapes = {"rotations": (depth, 3, n_wires), "couplings": (depth, len(pairs))}
    built = build(engine, lambda rotations, couplings: rotation_rows(rotations, couplings, pairs), shapes, n_wires)
    return built, depth * (3 * n_wires + len(pairs))


@pytest.mark.parametrize("entangler", ["chain", "ring"])
def test_engines_agree_with_each_other_where_the_cone_is_smaller_than_the_register(entangler):
    (first, size), (second, _) = (paper_engine(engine, 7, 3, entangler) for engine in ENGINES)
    x, weights = random_states(4, 7), random_weights(size)
    assert len(first.cones[0].wires) < 7
    torch.testing.assert_close(
        first(weights, first.prepare(x)), second(weights, second.prepare(x)), atol=1e-10, rtol=1e-12
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_evaluation_scales_with_the_squared_norm(engine):
    built, size = paper_engine(engine)
    x, weights = random_states(3, 4), random_weights(size)
    factors = torch.tensor([[0.0], [0.5], [3.0j]], dtype=torch.complex128)
    found = built(weights, built.prepare(factors * x))
    expected = built(weights, built.prepare(x)) * torch.tensor([0.0, 0.25, 9.0], dtype=torch.float64)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("engine", ENGINES)
def test_empty_circuit_reads_the_last_and_least_significant_bit(engine):
    built = build(engine, lambda w: None, {"w": (1,)}, 3)
    found = built(torch.zeros(1, dtype=torch.float64), built.prepare(torch.eye(8, dtype=torch.complex128)))
    assert found.tolist() == [1.0, -1.0] * 4


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("computed", [False, True], ids=["weights as angles", "computed angles"])
def test_vmap_over_weights_equals_a_loop(engine, computed):
    def ansatz(w):
        angles = torch.sin(w) if computed else w
        qml.StronglyEntanglingLayers(angles.reshape(1, 2, 3), wires=[0, 1])
        qml.IsingZZ(angles[0], wires=[1, 2])
        qml.PauliRot(angles[1], "XYZ", wires=[0, 1, 2])
        qml.CRX(angles[2], wires=[0, 2])

    built = build(engine, ansatz, {"w": (6,)}, 3)
    x, weights = built.prepare(random_states(3, 3)), random_weights(5, 6)
    looped = torch.stack([built(row, x) for row in weights])
    torch.testing.assert_close(vmap(built, in_dims=(0, None))(weights, x), looped, atol=1e-12, rtol=0)
    per_row = torch.stack([built(row, x[index % 3][None]) for index, row in enumerate(weights)])
    rows = torch.stack([x[index % 3][None] for index in range(5)])
    torch.testing.assert_close(vmap(built)(weights, rows), per_row, atol=1e-12, rtol=0)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # torch's forward mode
def test_first_and_second_derivatives_are_those_of_the_parameter_shift_rule(engine):
    """Every gate of the ansatz is exp(-i w P / 2) and every weight belongs to one gate."""
    built, size = paper_engine(engine, n_wires=3, depth=2)
    x, weights = built.prepare(random_states(2, 3)), random_weights(size)
    shifts = torch.eye(size, dtype=torch.float64) * (math.pi / 2)

    def value(w):
        return built(w, x)

    many = vmap(value)
    first = (many(weights + shifts) - many(weights - shifts)).mT / 2
    torch.testing.assert_close(jacrev(value)(weights), first, atol=1e-11, rtol=0)
    plus_plus, plus_minus, minus_minus = (
        many((weights + a * shifts[:, None] + b * shifts[None]).reshape(-1, size)).mT.reshape(2, size, size)
        for a, b in ((1, 1), (1, -1), (-1, -1))
    )
    second = (plus_plus - plus_minus - plus_minus.mT + minus_minus) / 4
    torch.testing.assert_close(hessian(value)(weights), second, atol=1e-11, rtol=0)


@pytest.mark.parametrize("engine", ENGINES)
def test_gradients_under_vmap_equal_those_one_by_one(engine):
    built, size = paper_engine(engine, n_wires=3, depth=2, entangler="ring")
    x, weights = built.prepare(random_states(2, 3)), random_weights(4, size)
    together = vmap(grad(lambda w: built(w, x).sum()))(weights)
    for row, found in zip(weights, together, strict=True):
        w = row.clone().requires_grad_()
        built(w, x).sum().backward()
        torch.testing.assert_close(found, w.grad, atol=1e-12, rtol=0)


@pytest.mark.parametrize("engine", ENGINES)
def test_single_precision_stays_single_and_is_close(engine):
    built, size = paper_engine(engine)
    x, weights = built.prepare(random_states(3, 4)), random_weights(size)
    found = built(weights.float(), x.float())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), built(weights, x), atol=1e-4, rtol=0)


def test_observable_of_one_rotation():
    """RX(w): Z becomes cos w Z + sin w Y."""
    built = build(HeisenbergEngine, lambda w: qml.RX(w[0], wires=0), {"w": (1,)}, 1)
    [_, x, y, z] = built.observable(torch.tensor([0.4], dtype=torch.float64)).tolist()
    assert (x, y, z) == pytest.approx((0.0, math.sin(0.4), math.cos(0.4)), abs=1e-15)


def test_norm_of_the_observable_is_kept():
    built, size = paper_engine(HeisenbergEngine, 6, 4, "ring")
    coefficients = built.observable(random_weights(size))
    assert coefficients.shape == (4**6,)
    assert float(coefficients.square().sum()) == pytest.approx(1.0, abs=1e-12)


def test_single_qubit_runs_join_the_next_gate_on_their_wire():
    def ansatz(w):
        qml.RX(w[0], wires=0)
        qml.RY(w[1], wires=1)
        qml.RX(w[2], wires=0)
        qml.CNOT(wires=[1, 0])
        qml.RZ(w[3], wires=0)
        qml.CZ(wires=[1, 2])
        qml.RX(w[4], wires=2)

    blocks = fuse(Recording(ansatz, {"w": (5,)}, 3).gates)
    found = [(block.wires, block.runs, block.gate) for block in blocks]
    assert found == [
        ((1, 0), ((1,), (0, 2)), 3),
        ((1, 2), ((), ()), 5),
        ((0,), ((4,),), None),
        ((2,), ((6,),), None),
    ]
