"""The paper's variational ansatz, as PennyLane operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from qlab.deferred import Deferred

if TYPE_CHECKING:
    import pennylane as qml
else:
    qml = Deferred("pennylane")

Entangler = Literal["chain", "ring", "none"]


def bonds(n_wires: int, entangler: Entangler) -> list[tuple[int, int]]:
    """Pairs of wires that an entangling row couples: neighbours on an open chain, or on a ring; or none."""
    if entangler == "none":
        return []
    chain = [(wire, wire + 1) for wire in range(n_wires - 1)]
    return [*chain, (n_wires - 1, 0)] if entangler == "ring" and n_wires > 2 else chain


def rotation_rows(
    rotations: Tensor,
    couplings: Tensor | None,
    pairs: list[tuple[int, int]],
    before_row: Callable[[int], None] | None = None,
) -> None:
    """Queues rows of RX, RY and RX on every wire, each followed by a row of RZZ on ``pairs``.

    Args:
        rotations: angles of the single-qubit gates, shape ``[depth, 3, wires]``.
        couplings: angles of the RZZ gates, shape ``[depth, len(pairs)]``; None if there are no pairs.
        pairs: the wires coupled in each entangling row.
        before_row: called with the number of each row before it is queued.
    """
    depth, _, n_wires = rotations.shape
    for layer in range(depth):
        if before_row is not None:
            before_row(layer)
        for wire in range(n_wires):
            qml.RX(rotations[layer, 0, wire], wires=wire)
            qml.RY(rotations[layer, 1, wire], wires=wire)
            qml.RX(rotations[layer, 2, wire], wires=wire)
        angles = [] if couplings is None else [couplings[layer, index] for index in range(len(pairs))]
        for angle, pair in zip(angles, pairs, strict=True):
            qml.IsingZZ(angle, wires=pair)
