"""How matrices of gates are computed: for many gates at once where PennyLane can, without a trace in the process."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor

import pennylane as qml
import pytest
import torch

from qlab.circuits import gate_matrices

GATES = [
    qml.RX(0.1, wires=0),
    qml.Rot(0.1, 0.2, 0.3, wires=0),
    qml.CRZ(0.1, wires=[0, 1]),
    qml.IsingXX(0.1, wires=[0, 1]),
    qml.DoubleExcitation(0.1, wires=range(4)),
]


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.name)
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad])
def test_usual_gates_take_batches(gate, mode):
    with mode():
        assert gate_matrices._takes_batches(gate)


def test_a_gate_that_leaves_pytorch_on_the_way_takes_none():
    assert not gate_matrices._takes_batches(qml.IsingXY(0.1, wires=[0, 1]))


def test_threads_leave_the_warning_filters_alone():
    # They belong to the process: one thread that changes and restores them while others do leaves its own behind.
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(gate_matrices._takes_batches, [gate for gate in GATES for _ in range(60)]))
    assert all(found)
    assert warnings.filters == before
