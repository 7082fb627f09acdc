"""Transfer matrices of rotations: constant, cosine and sine parts."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qlab.circuits.gate_matrices import bind
from qlab.circuits.operations import matrix_of
from qlab.circuits.pauli import transfer_matrices
from qlab.circuits.recording import Gate, Recording
from qlab.deferred import Deferred
from qlab.untransformed import untransformed

if TYPE_CHECKING:
    import pennylane as qml
else:
    qml = Deferred("pennylane")

_WIDEST = 3
"""Gates on more wires have matrices of 16^k elements, three of which are not kept."""

_ROTATIONS = ("RX", "RY", "RZ", "PhaseShift", "IsingXX", "IsingYY", "IsingZZ")
"""Gates that have a matrix for an angle and nothing else."""

_ROUNDING = 1e-13

_TRIED = (0.7, -2.1)


def waves_of(recording: Recording, gate: Gate) -> tuple[Tensor, int] | None:
    """A gate's transposed transfer matrix as A + B cos(a) + C sin(a) of its angle a, and where the angle is found.

    So it is for rotations exp(-i a P / 2) about Pauli words and for phase shifts, whose generators have two eigenvalues
    that differ by one: made of its parts, a matrix costs a few sums, and constant channels before and after it can be
    multiplied into the parts beforehand. Gates that are the same for all weights have A alone.

    Args:
        recording: of the circuit.
        gate: one of its gates.

    Returns:
        A, B and C, ``[3, 4^k, 4^k]``, float64, and the position of a among the weights and constants of the recording;
        None for a gate of another kind.
    """
    if len(gate.wires) > _WIDEST:
        return None
    if gate.constant:
        constant = _transposed(matrix_of(gate.operation))
        return torch.stack([constant, torch.zeros_like(constant), torch.zeros_like(constant)]), 0
    if recording.index is None or len(gate.slots) != 1:
        return None
    parts = _rotation_parts(gate.operation.name) if _is_rotation(gate) else _parts(gate.operation)
    return None if parts is None else (parts, int(recording.index[gate.slots[0]]))


def all_rotations(recording: Recording, gates: Sequence[Gate]) -> bool:
    """Whether all gates are constants on few wires or one of PennyLane's plain rotations, each by a weight."""
    return recording.index is not None and all(
        len(gate.wires) <= _WIDEST and (gate.constant or _is_rotation(gate)) for gate in gates
    )


def _is_rotation(gate: Gate) -> bool:
    name = gate.operation.name
    return len(gate.slots) == 1 and name in _ROTATIONS and type(gate.operation) is getattr(qml, name)


def _rotation_parts(name: str) -> Tensor | None:
    """The parts of one of PennyLane's rotations; not to be written to."""
    kept = _kept_parts(name)
    return None if kept is None else torch.from_numpy(kept)


@functools.cache
def _kept_parts(name: str) -> NDArray[np.float64] | None:
    """An array, as all that is kept: tensors that are first made inside a transform would belong to it."""
    cls = getattr(qml, name)

    def found() -> Tensor | None:
        with qml.QueuingManager.stop_recording():
            return _parts(cls(0.0, wires=range(cls.num_wires)))

    parts = untransformed(found)
    return None if parts is None else parts.numpy()


def _parts(operation: qml.operation.Operator) -> Tensor | None:
    """A, B and C of an operation, ``[3, 4^k, 4^k]``, or None."""
    try:
        zero, quarter, half = (_at(operation, angle) for angle in (0.0, math.pi / 2, math.pi))
        constant, cosine = (zero + half) / 2.0, (zero - half) / 2.0
        sine = quarter - constant
        for angle in _TRIED:
            found = constant + math.cos(angle) * cosine + math.sin(angle) * sine
            if not torch.allclose(found, _at(operation, angle), atol=_ROUNDING, rtol=0):
                return None
    except Exception:  # a class that takes no other angle is computed from its matrix
        return None
    return torch.stack([constant, cosine, sine])


def _at(operation: qml.operation.Operator, angle: float) -> Tensor:
    return _transposed(matrix_of(bind(operation, [torch.tensor(angle, dtype=torch.float64)])))


def _transposed(matrix: Tensor) -> Tensor:
    return transfer_matrices(matrix.detach().to(torch.complex128)[None])[0].mT
