"""Sums of Pauli words: made of PennyLane operators, measured by every engine, and their cones."""

from __future__ import annotations

import functools

import numpy as np
import pennylane as qml
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qlab.circuits import HeisenbergEngine, Recording, StatevectorEngine, light_cone
from qlab.circuits.lightcone import split_cones
from qlab.circuits.observables import PauliSum, named_observable, observable_of, pauli_z
from qlab.circuits.qnode import QNodeEngine
from qlab.errors import ConfigError

N, WEIGHTS = 4, 6
LETTERS = {"X": np.array([[0, 1], [1, 0]]), "Y": np.array([[0, -1j], [1j, 0]]), "Z": np.diag([1, -1])}


def matrix_of(observable):
    """Kronecker products, written out."""
    total = np.zeros((2**N, 2**N), dtype=complex)
    for coefficient, word in observable.terms:
        letters = dict(word)
        factors = [LETTERS[letters[wire]] if wire in letters else np.eye(2) for wire in range(N)]
        total = total + coefficient * functools.reduce(np.kron, factors)
    return total


def ansatz(w):
    for wire in range(N):
        qml.RX(w[wire], wires=wire)
        qml.RY(w[5 - wire], wires=wire)
    qml.IsingZZ(w[0], wires=[0, 1])
    qml.CNOT(wires=[2, 1])
    qml.RZ(w[4], wires=1)
    qml.IsingXX(w[5], wires=[2, 3])


WORDS = st.dictionaries(st.integers(0, N - 1), st.sampled_from("XYZ"), max_size=N).map(
    lambda letters: tuple(sorted(letters.items()))
)
SUMS = (
    st.dictionaries(WORDS, st.sampled_from([-1.5, -0.5, 0.25, 1.0]), min_size=1, max_size=5)
    .filter(lambda terms: any(terms))
    .map(lambda terms: PauliSum(tuple((coefficient, word) for word, coefficient in terms.items())))
)


def states(rows=3):
    x = torch.randn(rows, 2**N, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    return x / torch.linalg.vector_norm(x, dim=1, keepdim=True)


@settings(deadline=None, max_examples=25)
@given(observable=SUMS, seed=st.integers(0, 100))
def test_all_engines_agree_with_the_matrix(observable, seed):
    recording = Recording(ansatz, {"w": (WEIGHTS,)}, N)
    weights = 6.0 * torch.rand(WEIGHTS, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) - 3.0
    x = states()
    with qml.queuing.AnnotatedQueue() as queue:
        ansatz(weights)
    unitary = np.asarray(qml.matrix(qml.tape.QuantumScript.from_queue(queue), wire_order=range(N)))
    evolved = unitary.conj().T @ matrix_of(observable) @ unitary
    expected = torch.tensor(np.einsum("ni,ij,nj->n", x.numpy().conj(), evolved, x.numpy()).real)
    cone = light_cone(recording.gates, observable)
    engines = [
        HeisenbergEngine(recording, cone),
        HeisenbergEngine(recording, split_cones(recording.gates, observable)),
        StatevectorEngine(recording, cone),
        QNodeEngine(ansatz, recording, "default.qubit", observable),
    ]
    gradients = []
    for engine in engines:
        w = weights.clone().requires_grad_()
        found = engine(w, engine.prepare(x))
        torch.testing.assert_close(found.detach(), expected, atol=1e-10, rtol=0)
        weighted = found @ torch.arange(1.0, 4.0, dtype=torch.float64) + 0.0 * w.sum()
        gradients.append(torch.autograd.grad(weighted, w)[0])
    for gradient in gradients[1:]:
        torch.testing.assert_close(gradient, gradients[0], atol=1e-10, rtol=0)


@settings(deadline=None, max_examples=25)
@given(observable=SUMS)
def test_a_pennylane_operator_is_read_as_what_it_is(observable):
    again = observable_of(observable.operator(), N, "here")
    assert {word: c for c, word in again.terms} == pytest.approx({word: c for c, word in observable.terms})


@pytest.mark.parametrize(
    ("operator", "terms"),
    [
        (lambda: qml.Z(1), {((1, "Z"),): 1.0}),
        (lambda: qml.X(2) @ qml.Y(0), {((0, "Y"), (2, "X")): 1.0}),
        (lambda: 0.5 * qml.Z(0) - qml.Z(1), {((0, "Z"),): 0.5, ((1, "Z"),): -1.0}),
        (lambda: qml.Hamiltonian([2, 3], [qml.X(0), qml.I(1)]), {((0, "X"),): 2.0, (): 3.0}),
        (lambda: qml.s_prod(-1, qml.Z(0) @ qml.Z(0) @ qml.X(3)), {((3, "X"),): -1.0}),
        (lambda: 1j * qml.X(0) @ qml.Y(0), {((0, "Z"),): -1.0}),
        (lambda: qml.pauli_decompose(np.diag([1.0, 2.0])), {(): 1.5, ((0, "Z"),): -0.5}),
    ],
)
def test_products_and_sums_are_read(operator, terms):
    assert {word: c for c, word in observable_of(operator(), N, "here").terms} == pytest.approx(terms)


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        (lambda: qml.Z(4), r"here: PauliZ acts on wire 4, off the register, which has wires 0 to 3; .*self\.n_wires"),
        (lambda: qml.Z("last"), r"acts on wire last, off the register"),
        (lambda: qml.expval(qml.Z(0)), r"got a measurement.*return the operator alone"),
        (lambda: None, r"got NoneType, accepts a PennyLane operator: return qml\.Z"),
        (lambda: 1j * qml.Z(0), r"not Hermitian"),
        (lambda: qml.Hadamard(0), r"Hadamard is no sum of Pauli words"),
        (lambda: qml.Hermitian(np.eye(2), 0), r"Hermitian is no sum of Pauli words.*pauli_decompose"),
        (lambda: qml.I(0), r"multiple of the identity"),
        (lambda: 0.0 * qml.Z(0), r"multiple of the identity"),
        (lambda: float("nan") * qml.Z(0), r"not a finite number"),
        (lambda: torch.tensor(0.5, requires_grad=True) * qml.Z(0), r"a coefficient .* is a weight"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_what_to_do(given_, message):
    with pytest.raises(ConfigError, match=message):
        observable_of(given_(), N, "here")


def test_parts_have_cones_of_their_own_unless_one_holds_the_other():
    def chain(w):
        for wire in range(6):
            qml.RX(w[wire], wires=wire)
        for wire in range(5):
            qml.IsingZZ(w[wire], wires=[wire, wire + 1])
        for wire in range(6):
            qml.RX(w[wire], wires=wire)

    gates = Recording(chain, {"w": (6,)}, 6).gates
    cones = split_cones(gates, named_observable("mean_Z", 6))
    assert sorted(cone.wires for cone in cones) == [(0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5)]
    assert sorted(len(cone.observable.terms) for cone in cones) == [1, 1, 2, 2]
    assert light_cone(gates, named_observable("mean_Z", 6)).wires == tuple(range(6))
    assert split_cones(gates, pauli_z(5)) == (light_cone(gates, 5),)


def test_names_say_what_they_are():
    assert str(named_observable("Z_last", 3)) == "Z2"
    assert str(named_observable("ZZ_last", 3)) == "Z1 Z2"
    assert named_observable("mean_Z", 2).terms == ((0.5, ((0, "Z"),)), (0.5, ((1, "Z"),)))
    with pytest.raises(ConfigError, match='"ZZ_last" takes two qubits'):
        named_observable("ZZ_last", 1)
