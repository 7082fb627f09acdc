"""Data re-uploading: gates whose angles are features, in the middle of an ansatz."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from qlab.circuits.queueing import Ansatz, queue_operations
from qlab.deferred import Deferred

if TYPE_CHECKING:
    import pennylane as qml
else:
    qml = Deferred("pennylane")

Rotation = Literal["RX", "RY"]


def queue_upload(n_wires: int, rotation: Rotation) -> None:
    """Queues a row of places for data: one rotation on each wire, whose angle is that wire's feature."""
    for place in upload_places(n_wires, rotation):
        qml.apply(place)


def upload_places(n_wires: int, rotation: Rotation) -> list[qml.operation.Operator]:
    """A row of places for data, not queued."""
    with qml.QueuingManager.stop_recording():
        return [_place()(rotation, wires=wire) for wire in range(n_wires)]


def is_upload(operation: qml.operation.Operator) -> bool:
    """Whether an operation is a place for data."""
    return isinstance(operation, _place())


def bound(operations: Iterable[qml.operation.Operator], angles: Any) -> list[qml.operation.Operator]:
    """The operations, those for data as rotations by angles ``[..., wires]``; queued if a queue is recording."""
    found = []
    for operation in operations:
        if is_upload(operation):
            gate = getattr(qml, operation.hyperparameters["rotation"])
            found.append(gate(angles[..., operation.wires[0]], wires=operation.wires))
        else:
            found.append(qml.apply(operation) if qml.QueuingManager.recording() else operation)
    return found


def queue_with_data(ansatz: Ansatz, weights: Any, angles: Any) -> None:
    """Queues an ansatz with features in their places."""
    bound([queued.operation for queued in queue_operations(ansatz, weights)], angles)


def data_rows(operations: Sequence[qml.operation.Operator], n_wires: int) -> int:
    """How many rows of places for data there are."""
    return sum(map(is_upload, operations)) // n_wires


@functools.cache
def _place() -> Any:
    """The class of places for data: an operation of PennyLane's, which is not loaded before."""

    class DataRotation(qml.operation.Operation):  # type: ignore[misc]  # PennyLane has no types
        """A rotation by a feature; without data it stands for no particular matrix."""

        num_params = 0
        num_wires = 1

        def __init__(self, rotation: Rotation, wires: Any) -> None:
            super().__init__(wires=wires)
            self._hyperparameters = {"rotation": rotation}

        @staticmethod
        def compute_matrix(rotation: Rotation) -> Any:
            return qml.Identity.compute_matrix()

        def label(self, decimals: Any = None, base_label: Any = None, cache: Any = None) -> str:
            return f"{self.hyperparameters['rotation']}(x{self.wires[0]})"

    return DataRotation
