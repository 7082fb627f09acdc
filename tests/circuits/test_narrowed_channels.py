"""Channels that are partly outside the support of an observable, and do not spread from it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pennylane as qml
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qlab import Features, PennyLaneQNN
from qlab.circuits import Recording, light_cone
from qlab.circuits.channels import adjoint_of, kraus_matrices, narrowed, two_qubit_depolarizing
from qlab.circuits.observables import pauli_z
from qlab.noise import PauliError, TwoQubitDepolarizing

LETTERS = (np.eye(2), np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1.0, -1.0]))


def adjoint(operation: Any, observable: Any) -> Any:
    return sum(kraus.conj().T @ observable @ kraus for kraus in kraus_matrices(operation).numpy())


def spreading(p: float) -> Any:
    """A CNOT with probability p: Z on its target becomes Z Z, X on its control X X."""
    kraus = [np.sqrt(1 - p) * np.eye(4), np.sqrt(p) * qml.CNOT([0, 1]).matrix()]
    return qml.QubitChannel(kraus, wires=[0, 1])


@settings(max_examples=30, deadline=None)
@given(p=st.floats(0.0, 1.0), wire=st.sampled_from([0, 1]), word=st.sampled_from(["", "XX", "ZY", "YI"]))
def test_a_narrowed_channel_does_the_same_where_the_observable_is(p: float, wire: int, word: str) -> None:
    with qml.QueuingManager.stop_recording():
        operation = qml.PauliError(word, p, wires=[0, 1]) if word else two_qubit_depolarizing(p, [0, 1])
        found = narrowed(adjoint_of(operation), operation, [wire])
    assert found is not None
    assert tuple(found.operation.wires) == (wire,)
    assert len(found.operation.kraus_matrices()) <= 4
    for letter in LETTERS:
        here = adjoint(found.operation, letter)
        whole = adjoint(operation, np.kron(letter, np.eye(2)) if wire == 0 else np.kron(np.eye(2), letter))
        expected = np.kron(here, np.eye(2)) if wire == 0 else np.kron(np.eye(2), here)
        np.testing.assert_allclose(whole, expected, atol=1e-7)  # PennyLane adds 1e-14 under roots
    transfer = adjoint_of(found.operation).transfer
    torch.testing.assert_close(found.channel.transfer, transfer, atol=1e-7, rtol=0)


@pytest.mark.parametrize("wire", [0, 1])
def test_a_channel_that_spreads_is_taken_whole(wire: int) -> None:
    with qml.QueuingManager.stop_recording():
        operation = spreading(0.3)
        assert narrowed(adjoint_of(operation), operation, [wire]) is None


@pytest.mark.parametrize(
    ("queue", "wires"),
    [(lambda: two_qubit_depolarizing(0.3, [0, 1]), (1,)), (lambda: spreading(0.3), (0, 1))],
    ids=["joint depolarizing", "a channel that spreads"],
)
def test_the_light_cone_has_the_wires_that_the_readout_depends_on(queue: Any, wires: tuple[int, ...]) -> None:
    def ansatz(w: Any) -> None:
        qml.RX(w[0], wires=1)
        queue()

    recording = Recording(ansatz, {"w": 1}, 2)
    assert light_cone(recording.gates, pauli_z(1)).wires == wires


@pytest.mark.filterwarnings("ignore:Casting complex values to real")  # in PennyLane's PauliError
@pytest.mark.parametrize("channel", [TwoQubitDepolarizing(p=0.1), PauliError(operators="XY", p=0.2, after=2)])
def test_values_and_gradients_agree_with_default_mixed(channel: Any) -> None:
    x = torch.randn(3, 16, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    x = x / x.norm(dim=1, keepdim=True)
    found = []
    for where in ("lightcone", "default.mixed"):
        model = PennyLaneQNN(depth=2, initial_scale=1.0, noise=(channel,), device=where)
        model = model.build(Features(16, True, torch.ones(16, dtype=torch.bool)))
        model.reset_parameters(torch.Generator().manual_seed(1))
        values = model(model.prepare(x))
        gradient = torch.autograd.grad(values.sum(), list(model.parameters()))
        found.append(torch.cat([values.detach(), *(part.reshape(-1) for part in gradient)]))
        if where == "lightcone":
            assert len(model.cone.wires) == 2
    torch.testing.assert_close(found[0], found[1], atol=1e-10, rtol=0)


def test_the_cone_of_a_noisy_circuit_leaves_qlab_as_a_qnode() -> None:
    model = PennyLaneQNN(depth=2, initial_scale=1.0, noise=(TwoQubitDepolarizing(p=0.1),), encoding="angle", scale=1.0)
    model = model.build(Features(4, False, torch.ones(4, dtype=torch.bool)))
    model.reset_parameters(torch.Generator().manual_seed(1))
    x = torch.rand(2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    whole, part = model.to_qnode()(x), model.to_qnode(cone=True)(x)
    torch.testing.assert_close(torch.as_tensor(part), torch.as_tensor(whole), atol=1e-10, rtol=0)
    torch.testing.assert_close(model(model.prepare(x)).detach(), torch.as_tensor(whole), atol=1e-10, rtol=0)
