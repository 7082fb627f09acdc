"""Engines in words."""

from __future__ import annotations

from qlab.circuits.angle_states import AngleStatevectorEngine
from qlab.circuits.blocks import INFINITE
from qlab.circuits.exact import ExactEngine
from qlab.circuits.lightcone import LightCone
from qlab.circuits.outcome_engines import OutcomeEngine
from qlab.circuits.rowwise import RowwiseEngine
from qlab.circuits.statevector import StatevectorEngine


def explained(engine: ExactEngine, cone: LightCone, n_wires: int) -> str:
    """Which engine it is, and why, in a phrase."""
    of = "infinitely many" if n_wires == INFINITE else n_wires
    inside = f"light cone of {len(cone.wires)} of {of} qubits, {len(cone.gates)} gates"
    if isinstance(engine, OutcomeEngine):
        sizes = engine.sizes
        times = "one measurement" if len(sizes) == 1 else f"{len(sizes)} measurements"
        return f"probabilities of the {sum(sizes)} outcomes of {times}, {inside}"
    if isinstance(engine, StatevectorEngine):
        return f"statevector, cheaper here than the {inside}"
    if isinstance(engine, AngleStatevectorEngine):
        why = "data re-uploading needs states" if len(engine.stages) > 1 else "cheaper here than Pauli strings"
        return f"statevector of the {inside}; {why}"
    if isinstance(engine, RowwiseEngine):
        return f"observable evolved on the {inside}, for each row, as data are uploaded again under noise"
    if len(engine.cones) == 1:
        channels = sum(gate.channel is not None for gate in cone.gates)
        noise = f", {channels} of them noise channels" if channels else ""
        return f"observable evolved on the {inside}{noise}"
    widest = max(len(part.wires) for part in engine.cones)
    return (
        f"observable evolved part by part, on {len(engine.cones)} different light cones of up to {widest} of {of} "
        "qubits"
    )
