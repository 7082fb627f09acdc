"""The past light cone of a single-qubit readout: which gates and qubits it depends on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from qlab.circuits.recording import Gate


@dataclasses.dataclass(frozen=True)
class LightCone:
    """The part of a circuit that Pauli Z on the readout wire depends on.

    Args:
        readout: the measured wire.
        gates: the gates inside the cone, in circuit order.
        wires: the qubits inside the cone, ascending.
    """

    readout: int
    gates: tuple[Gate, ...]
    wires: tuple[int, ...]


def light_cone(gates: Sequence[Gate], readout: int) -> LightCone:
    """Walks the circuit backwards from Z on ``readout`` and keeps the gates that do not commute away.

    In the Heisenberg picture the observable O becomes G^dagger O G, gate by gate from the last to the first.
    Of each wire in its support it is known whether O contains only I and Z there ("Z-like"). A gate drops out
    when on every wire it shares with the support it is diagonal and O is Z-like: the two commute. A wire stays
    or becomes Z-like when the gate is diagonal on it and O was Z-like (or trivial) there. So a row of RZZ
    gates widens the support by one wire on each side only, and a row just before the readout drops.
    """
    z_like: dict[int, bool] = {readout: True}
    kept: list[Gate] = []
    for gate in reversed(gates):
        shared = [wire for wire in gate.wires if wire in z_like]
        if all(z_like[wire] and wire in gate.diagonal_on for wire in shared):
            continue
        kept.append(gate)
        for wire in gate.wires:
            z_like[wire] = z_like.get(wire, True) and wire in gate.diagonal_on
    return LightCone(readout, tuple(reversed(kept)), tuple(sorted(z_like)))
