"""The light cone: its size on the paper's circuits, its rule on small ones, and what it leaves out."""

from __future__ import annotations

import functools

import numpy as np
import pennylane as qml
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qlab.circuits import Recording, bonds, light_cone, rotation_rows
from qlab.circuits.observables import pauli_z


def cone_of(ansatz, n_wires, readout=None):
    recording = Recording(ansatz, {"w": (8,)}, n_wires)
    return light_cone(recording.gates, n_wires - 1 if readout is None else readout)


def names(cone):
    return [(gate.operation.name, gate.wires) for gate in cone.gates]


def paper_cone(n_wires, depth, entangler):
    pairs = bonds(n_wires, entangler)
    shapes = {"rotations": (depth, 3, n_wires), "couplings": (depth, len(pairs))}
    recording = Recording(lambda rotations, couplings: rotation_rows(rotations, couplings, pairs), shapes, n_wires)
    return light_cone(recording.gates, n_wires - 1)


@pytest.mark.parametrize("n_wires", [2, 5, 12])
@pytest.mark.parametrize("depth", [1, 2, 4, 6])
def test_cone_of_a_chain_has_as_many_qubits_as_rows(n_wires, depth):
    cone = paper_cone(n_wires, depth, "chain")
    size = min(depth, n_wires)
    assert cone.wires == tuple(range(n_wires - size, n_wires))


@pytest.mark.parametrize("n_wires", [4, 7, 12])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_cone_of_a_ring_has_two_qubits_more_for_each_further_row(n_wires, depth):
    cone = paper_cone(n_wires, depth, "ring")
    assert len(cone.wires) == min(2 * depth - 1, n_wires)
    distance = depth - 1
    assert set(cone.wires) == {(n_wires - 1 + step) % n_wires for step in range(-distance, distance + 1)}


def test_gates_of_a_chain_cone_are_a_triangle():
    """Depth 3: rotations on 3, 2 and 1 wires; RZZ on 2 and 1 bonds, the last row drops."""
    cone = paper_cone(6, 3, "chain")
    kept = [gate.operation.name for gate in cone.gates]
    assert (kept.count("RX"), kept.count("RY"), kept.count("IsingZZ")) == (12, 6, 3)


@pytest.mark.parametrize(
    ("queue", "wires", "kept"),
    [
        pytest.param(lambda w: qml.RZ(w[0], wires=1), (1,), [], id="RZ before the readout drops"),
        pytest.param(lambda w: qml.RX(w[0], wires=1), (1,), [("RX", (1,))], id="RX before the readout stays"),
        pytest.param(lambda w: qml.RX(w[0], wires=0), (1,), [], id="another wire drops"),
        pytest.param(lambda w: qml.CZ(wires=[0, 1]), (1,), [], id="CZ drops"),
        pytest.param(lambda w: qml.IsingZZ(w[0], wires=[1, 0]), (1,), [], id="RZZ drops"),
        pytest.param(lambda w: qml.MultiRZ(w[0], wires=[0, 1, 2]), (1,), [], id="MultiRZ drops"),
        pytest.param(lambda w: qml.CNOT(wires=[1, 0]), (1,), [], id="CNOT controlled by the readout drops"),
        pytest.param(lambda w: qml.Toffoli(wires=[1, 2, 0]), (1,), [], id="Toffoli controlled by the readout drops"),
        pytest.param(lambda w: qml.CNOT(wires=[0, 1]), (0, 1), [("CNOT", (0, 1))], id="CNOT onto the readout stays"),
        pytest.param(
            lambda w: (qml.RZ(w[0], wires=0), qml.CRX(w[1], wires=[0, 1])),
            (0, 1),
            [("CRX", (0, 1))],
            id="the control of CRX stays Z-like",
        ),
        pytest.param(
            lambda w: (qml.RZ(w[0], wires=1), qml.CRX(w[1], wires=[0, 1])),
            (0, 1),
            [("RZ", (1,)), ("CRX", (0, 1))],
            id="the target of CRX does not",
        ),
        pytest.param(
            lambda w: (qml.CZ(wires=[0, 2]), qml.IsingZZ(w[0], wires=[0, 1]), qml.RX(w[1], wires=1)),
            (0, 1),
            [("IsingZZ", (0, 1)), ("RX", (1,))],
            id="a row of diagonal gates widens by one wire",
        ),
        pytest.param(
            lambda w: (qml.CNOT(wires=[0, 2]), qml.IsingZZ(w[0], wires=[0, 1]), qml.RX(w[1], wires=1)),
            (0, 1),
            [("IsingZZ", (0, 1)), ("RX", (1,))],
            id="a control on a Z-like wire drops",
        ),
        pytest.param(
            lambda w: (qml.RY(w[2], wires=0), qml.IsingZZ(w[0], wires=[0, 1]), qml.RX(w[1], wires=1)),
            (0, 1),
            [("RY", (0,)), ("IsingZZ", (0, 1)), ("RX", (1,))],
            id="a rotation on a Z-like wire stays",
        ),
    ],
)
def test_rule_of_the_cone(queue, wires, kept):
    cone = cone_of(queue, 3, readout=1)
    assert cone.wires == wires
    assert names(cone) == kept
    assert cone.observable == pauli_z(1)


def embed(operation, n_wires):
    return np.asarray(qml.matrix(operation, wire_order=range(n_wires)))


def evolved_readout(operations, readout, n_wires):
    total = functools.reduce(lambda product, op: embed(op, n_wires) @ product, operations, np.eye(2**n_wires))
    observable = embed(qml.Z(readout), n_wires)
    return total.conj().T @ observable @ total


WIRES = st.permutations(range(4))
ANGLE = st.floats(-3.0, 3.0).map(lambda angle: round(angle, 3))


@st.composite
def operations(draw):
    a, b, c, _ = draw(WIRES)
    angle = draw(ANGLE)
    makers = [
        lambda: qml.RX(angle, wires=a),
        lambda: qml.RZ(angle, wires=a),
        lambda: qml.Hadamard(wires=a),
        lambda: qml.PhaseShift(angle, wires=a),
        lambda: qml.T(wires=a),
        lambda: qml.Rot(angle, 0.3, -angle, wires=a),
        lambda: qml.CNOT(wires=[a, b]),
        lambda: qml.CZ(wires=[a, b]),
        lambda: qml.CY(wires=[a, b]),
        lambda: qml.CRX(angle, wires=[a, b]),
        lambda: qml.CRZ(angle, wires=[a, b]),
        lambda: qml.ControlledPhaseShift(angle, wires=[a, b]),
        lambda: qml.IsingZZ(angle, wires=[a, b]),
        lambda: qml.IsingXX(angle, wires=[a, b]),
        lambda: qml.SWAP(wires=[a, b]),
        lambda: qml.ISWAP(wires=[a, b]),
        lambda: qml.Toffoli(wires=[a, b, c]),
        lambda: qml.CSWAP(wires=[a, b, c]),
        lambda: qml.CCZ(wires=[a, b, c]),
        lambda: qml.MultiRZ(angle, wires=[a, b, c]),
        lambda: qml.PauliRot(angle, "ZXI", wires=[a, b, c]),
        lambda: qml.DiagonalQubitUnitary(np.exp(1j * angle * np.arange(4)), wires=[a, b]),
        lambda: qml.MultiControlledX(wires=[a, b, c], control_values=[0, 1]),
        lambda: qml.ctrl(qml.Hadamard(wires=b), control=a, control_values=0),
        lambda: qml.ctrl(qml.IsingXX(angle, wires=[b, c]), control=a),
        lambda: qml.adjoint(qml.CRY(angle, wires=[a, b])),
        lambda: qml.adjoint(qml.S(wires=a)),
        lambda: qml.pow(qml.CNOT(wires=[a, b]), 0.5),
    ]
    with qml.QueuingManager.stop_recording():
        return draw(st.sampled_from(makers))()


@settings(deadline=None, max_examples=150)
@given(circuit=st.lists(operations(), max_size=12), readout=st.integers(0, 3))
def test_gates_outside_the_cone_do_not_change_the_readout(circuit, readout):
    """The evolved observable is the same without them, and is the identity on wires outside the cone."""

    def ansatz(w):
        for operation in circuit:
            qml.apply(operation)

    cone = cone_of(ansatz, 4, readout)
    whole = evolved_readout(circuit, readout, 4)
    inside = evolved_readout([gate.operation for gate in cone.gates], readout, 4)
    np.testing.assert_allclose(inside, whole, atol=1e-12)
    for wire in set(range(4)) - set(cone.wires):
        for pauli in (qml.X(wire), qml.Z(wire)):
            dense = embed(pauli, 4)
            np.testing.assert_allclose(dense @ whole, whole @ dense, atol=1e-12)


@settings(deadline=None, max_examples=100)
@given(operation=operations())
def test_wires_called_diagonal_are(operation):
    """The gate commutes with Pauli Z on each."""
    [gate] = Recording(lambda w: qml.apply(operation), {"w": (1,)}, 4).gates
    dense = embed(operation, 4)
    for wire in gate.diagonal_on:
        pauli = embed(qml.Z(wire), 4)
        np.testing.assert_allclose(pauli @ dense, dense @ pauli, atol=1e-12)


def test_parameters_of_dropped_gates_have_no_effect():
    def ansatz(w):
        qml.RX(w[0], wires=0)
        qml.RX(w[1], wires=1)
        qml.IsingZZ(w[2], wires=[0, 1])

    cone = cone_of(ansatz, 2)
    assert [gate.slots for gate in cone.gates] == [(1,)]
    assert torch.tensor(cone.wires).tolist() == [1]
