"""What an evaluation of a circuit holds in memory."""

from __future__ import annotations

from qlab.circuits.engines import Engine
from qlab.circuits.heisenberg import HeisenbergEngine
from qlab.circuits.qnode import QNodeEngine
from qlab.circuits.rowwise import RowwiseEngine

_BATCH = 32


def largest_tensor(engine: Engine) -> int:
    """Pauli coefficients of the observable, or amplitudes of a batch of 32 states."""
    if isinstance(engine, RowwiseEngine):
        return _BATCH * engine.coefficients
    return engine.coefficients if isinstance(engine, HeisenbergEngine) else _BATCH * 2**engine.n_wires


def held_elements(engine: Engine, rows: int, *, gradient: bool, gates: int) -> int:
    """The observable after each block of gates, or the state after each stage of the circuit or gate of a QNode.

    Args:
        engine: evaluates the circuit.
        rows: on which.
        gradient: whether everything is kept for a gradient.
        gates: about how many a QNode applies one after the other to all of the register.
    """
    if isinstance(engine, HeisenbergEngine):
        return 3 * (engine.steps if gradient else 2) * engine.coefficients + engine.row_elements * rows
    if isinstance(engine, RowwiseEngine):
        return 3 * (engine.steps if gradient else 2) * engine.coefficients * rows
    kept = gates if isinstance(engine, QNodeEngine) else engine.steps
    # A state before and after it is rearranged for a stage.
    return rows * 2 ** (engine.n_wires + 1) * (4 + (2 * kept if gradient else 0))
