"""The past light cone of an observable: which gates and qubits its expectation value depends on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from qlab.circuits.channels import narrowed
from qlab.circuits.observables import PauliSum, pauli_z
from qlab.circuits.recording import Gate


@dataclasses.dataclass(frozen=True)
class LightCone:
    """The part of a circuit that an observable depends on.

    Args:
        observable: what is measured.
        gates: the gates inside the cone, in circuit order.
        wires: the qubits inside the cone, ascending.
    """

    observable: PauliSum
    gates: tuple[Gate, ...]
    wires: tuple[int, ...]


def light_cone(gates: Sequence[Gate], readout: int | PauliSum) -> LightCone:
    """Walks the circuit backwards from the observable and keeps the gates that do not commute away.

    In the Heisenberg picture the observable O becomes G^dagger O G, gate by gate from the last to the first.
    Of each wire in its support it is known whether O contains only I and Z there ("Z-like"). A gate drops out
    when on every wire it shares with the support it is diagonal and O is Z-like: the two commute. A wire stays
    or becomes Z-like when the gate is diagonal on it and O was Z-like (or trivial) there. So a row of RZZ
    gates widens the support by one wire on each side only, and a row just before a readout of Z drops.

    For a noise channel E(rho) = sum_i K_i rho K_i^dagger, O becomes E'(O) = sum_i K_i^dagger O K_i, and the same rule
    holds with "diagonal" read as "all K_i commute with Z":

    - E preserves traces, so sum_i K_i^dagger K_i = I, and where O is the identity, E'(O) = O: a channel that shares no
      wire with the support drops, amplitude damping too.
    - Let O be Z-like on the shared wires S, and all K_i commute with Z on each: O = sum_b |b><b| O_b and
      K_i = sum_b |b><b| K_ib, b the bits of S, with O_b off the channel's wires and K_ib on those that are not shared.
      Then E'(O) = sum_b |b><b| O_b sum_i K_ib^dagger K_ib, and the last sum is I for each b: E'(O) = O, it drops.
    - Most channels on a Z-like wire stay, but keep it Z-like: amplitude damping turns Z into (1 - gamma) Z + gamma I,
      depolarizing into (1 - 4 p / 3) Z. So the cone of a circuit is no larger with such noise than without.
    - Where a channel is partly outside the support and E'(O x I) = O' x I for every O on the shared wires, it is taken
      as a channel on these alone: two qubits' joint depolarizing adds no wire. See :func:`narrowed`.

    Args:
        gates: the circuit.
        readout: what is measured; a wire stands for Z there.
    """
    observable = pauli_z(readout) if isinstance(readout, int) else readout
    z_like = observable.z_like()
    kept: list[Gate] = []
    for gate in reversed(gates):
        shared = [wire for wire in gate.wires if wire in z_like]
        gate = _on_shared(gate, shared)
        if all(z_like[wire] and wire in gate.diagonal_on for wire in shared):
            continue
        kept.append(gate)
        for wire in gate.wires:
            z_like[wire] = z_like.get(wire, True) and wire in gate.keeps_z_on
    return LightCone(observable, tuple(reversed(kept)), tuple(sorted(z_like)))


def _on_shared(gate: Gate, shared: Sequence[int]) -> Gate:
    """A channel that does not spread from the wires that it shares with the support; else the gate as it is."""
    if gate.channel is None or len(shared) in (0, len(gate.wires)):
        return gate
    found = narrowed(gate.channel, gate.operation, shared)
    if found is None:
        return gate
    return dataclasses.replace(
        gate,
        operation=found.operation,
        wires=tuple(shared),
        diagonal_on=found.channel.commutes_on,
        keeps_z_on=found.channel.keeps_z_on,
        channel=found.channel,
    )


def split_cones(gates: Sequence[Gate], observable: PauliSum) -> tuple[LightCone, ...]:
    """Light cones of parts of an observable that together cost least: evolving one on k qubits costs 4^k.

    Terms go with a larger one whose cone holds theirs, which then costs nothing; any other union would cost more than
    its parts.
    """
    cones = [light_cone(gates, PauliSum((term,))) for term in observable.terms]
    groups: list[tuple[set[int], list[int]]] = []
    for number in sorted(range(len(cones)), key=lambda number: -len(cones[number].wires)):
        wires = set(cones[number].wires)
        for held, members in groups:
            if wires <= held:
                members.append(number)
                break
        else:
            groups.append((wires, [number]))
    return tuple(
        light_cone(gates, PauliSum(tuple(observable.terms[number] for number in sorted(members))))
        for _, members in groups
    )
