"""Transfer matrices put together of real parts against those of unitaries, and when they are."""

from __future__ import annotations

import pennylane as qml
import pytest
import torch
from torch.func import vmap

from qlab.circuits import HeisenbergEngine, Recording, bonds, light_cone, rotation_rows
from qlab.circuits.matrices import fuse
from qlab.circuits.pauli import pauli_strings
from qlab.circuits.transfers import Transfers, WaveTransfers, transfers_of

ANGLES = 8


def clifford_and_rotations(angles):
    qml.Hadamard(wires=0)
    qml.RZ(angles[0], wires=1)
    qml.PhaseShift(angles[1], wires=0)
    qml.CNOT(wires=[1, 0])
    qml.IsingXX(angles[2], wires=[0, 1])
    qml.IsingYY(angles[3], wires=[1, 2])
    qml.RY(0.3, wires=2)
    qml.IsingZZ(angles[4], wires=[2, 0])
    qml.RX(angles[5], wires=2)
    qml.Toffoli(wires=[0, 1, 2])
    qml.RY(angles[6], wires=2)
    qml.RX(angles[7], wires=2)


def recorded(ansatz, wires=3):
    return Recording(ansatz, {"angles": (ANGLES,)}, wires)


def test_rotations_and_constant_gates_have_the_transfer_matrices_of_their_unitaries():
    recording = recorded(clifford_and_rotations)
    gates, blocks = recording.gates, fuse(recording.gates)
    flat = torch.randn(ANGLES, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = transfers_of(recording, gates, blocks)
    assert isinstance(found, WaveTransfers)
    unitaries = Transfers(recording, gates, blocks)
    one, other = found(flat), unitaries(flat)
    for place, block in enumerate(blocks):
        k = len(block.wires)
        torch.testing.assert_close(one[k][found.row[place]], other[k][unitaries.row[place]], atol=1e-14, rtol=0)


@pytest.mark.parametrize("entangler", ["chain", "ring"])
def test_the_papers_circuit_evolves_as_its_matrix_does(entangler):
    """U^dagger Z U of PennyLane's matrix, string by string, for several weights at once."""
    wires, depth = 4, 2
    pairs = bonds(wires, entangler)
    shapes = {"rotations": (depth, 3, wires), "couplings": (depth, len(pairs))}
    recording = Recording(lambda rotations, couplings: rotation_rows(rotations, couplings, pairs), shapes, wires)
    engine = HeisenbergEngine(recording, light_cone(recording.gates, wires - 1))
    assert isinstance(engine.transfers, WaveTransfers)
    many = torch.randn(3, recording.n_weights, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    strings = torch.from_numpy(pauli_strings(wires))
    on = engine.evolved_wires[0]
    for flat, found in zip(many, vmap(engine.observable)(many), strict=True):

        def queue(flat=flat):
            split = depth * 3 * wires
            rotation_rows(flat[:split].reshape(depth, 3, wires), flat[split:].reshape(depth, len(pairs)), pairs)

        u = torch.as_tensor(qml.matrix(queue, wire_order=range(wires))())
        z = torch.as_tensor(qml.matrix(qml.PauliZ(wires - 1), wire_order=range(wires)))
        evolved = u.mH @ z.to(u) @ u
        dense = (torch.einsum("pij,ji->p", strings, evolved).real / 2**wires).reshape([4] * wires)
        inside = dense[tuple(slice(None) if wire in on else 0 for wire in range(wires))].reshape(-1)
        torch.testing.assert_close(found, inside, atol=1e-13, rtol=0)
        assert float(dense.square().sum() - inside.square().sum()) == pytest.approx(0.0, abs=1e-13)


@pytest.mark.parametrize(
    "ansatz",
    [
        lambda angles: qml.Rot(angles[0], angles[1], angles[2], wires=2),
        lambda angles: qml.CRX(angles[0], wires=[0, 2]),
        lambda angles: qml.RX(2.0 * angles[0], wires=2),
        lambda angles: qml.MultiRZ(angles[0], wires=[0, 1, 2]),
    ],
    ids=["three angles", "other frequencies", "no weight of its own", "another class"],
)
def test_other_gates_are_made_of_their_unitaries(ansatz):
    recording = recorded(ansatz)
    assert isinstance(transfers_of(recording, recording.gates, fuse(recording.gates)), Transfers)
