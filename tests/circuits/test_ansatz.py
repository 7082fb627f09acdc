"""The paper's ansatz: which gates, in which order."""

from __future__ import annotations

import pennylane as qml
import pytest
import torch

from qlab.circuits import bonds, rotation_rows


@pytest.mark.parametrize(
    ("n_wires", "entangler", "expected"),
    [
        (1, "chain", []),
        (1, "ring", []),
        (2, "chain", [(0, 1)]),
        (2, "ring", [(0, 1)]),
        (4, "chain", [(0, 1), (1, 2), (2, 3)]),
        (4, "ring", [(0, 1), (1, 2), (2, 3), (3, 0)]),
        (4, "none", []),
    ],
)
def test_bonds(n_wires, entangler, expected):
    assert bonds(n_wires, entangler) == expected


def test_rows_of_rx_ry_rx_then_rzz_on_every_bond():
    rotations = torch.arange(12, dtype=torch.float64).reshape(2, 3, 2)
    couplings = torch.tensor([[20.0], [21.0]], dtype=torch.float64)
    tape = qml.tape.make_qscript(rotation_rows)(rotations, couplings, [(0, 1)])
    queued = [(op.name, tuple(op.wires), float(op.parameters[0])) for op in tape.operations]
    assert queued == [
        ("RX", (0,), 0.0),
        ("RY", (0,), 2.0),
        ("RX", (0,), 4.0),
        ("RX", (1,), 1.0),
        ("RY", (1,), 3.0),
        ("RX", (1,), 5.0),
        ("IsingZZ", (0, 1), 20.0),
        ("RX", (0,), 6.0),
        ("RY", (0,), 8.0),
        ("RX", (0,), 10.0),
        ("RX", (1,), 7.0),
        ("RY", (1,), 9.0),
        ("RX", (1,), 11.0),
        ("IsingZZ", (0, 1), 21.0),
    ]


def test_rows_without_couplings_are_rotations_alone():
    rotations = torch.zeros(2, 3, 2, dtype=torch.float64)
    tape = qml.tape.make_qscript(rotation_rows)(rotations, None, [])
    assert [operation.name for operation in tape.operations] == ["RX", "RY", "RX"] * 4
