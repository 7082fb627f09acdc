"""Which of the engines of the light cone evaluates a circuit."""

from __future__ import annotations

from qlab.circuits.heisenberg import HeisenbergEngine
from qlab.circuits.lightcone import LightCone, light_cone
from qlab.circuits.operations import LARGEST_MATRIX
from qlab.circuits.recording import Recording
from qlab.circuits.statevector import StatevectorEngine


def exact_engine(recording: Recording) -> HeisenbergEngine | StatevectorEngine:
    """The cheaper engine for a circuit read out on its last wire."""
    cone = light_cone(recording.gates, recording.n_wires - 1)
    return (HeisenbergEngine if _heisenberg_is_cheaper(cone, recording.n_wires) else StatevectorEngine)(recording, cone)


def _heisenberg_is_cheaper(cone: LightCone, n_wires: int) -> bool:
    """Whether evolving 4^k real coefficients costs less than a batch of 32 complex states of 2^n amplitudes.

    Gates on many wires, which have no decomposition, are cheaper on states.
    """
    if any(len(gate.wires) > LARGEST_MATRIX for gate in cone.gates):
        return False
    per_gate_observable = 4 ** len(cone.wires) * 16
    per_gate_states = 32 * 2**n_wires * 4 * 4
    return per_gate_observable <= per_gate_states
