"""What is known of a quantum computer: coherence times, and errors and times of its native gates."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final

ONE_QUBIT: Final = "one_qubit"
TWO_QUBIT: Final = "two_qubit"
"""What stands in ``gates`` for every other gate on one wire, and on two."""

QUBIT_NUMBERS: Final = ("t1_us", "t2_us", "p1_given_0", "p0_given_1")
"""What is known of every qubit, see :class:`Qubit`."""

Pair = tuple[int, int]
"""Two qubits that a gate couples, the lower number first."""


@dataclasses.dataclass(frozen=True)
class NativeGate:
    """A gate that a device has, where it has it.

    Args:
        error: the average gate infidelity, as calibrations report it.
        time_ns: how long it takes, in nanoseconds.
    """

    error: float
    time_ns: float


@dataclasses.dataclass(frozen=True)
class Qubit:
    """A qubit of a device.

    Args:
        t1_us: relaxation time, in microseconds.
        t2_us: dephasing time, in microseconds; at most twice T1.
        p1_given_0: probability that 0 is read as 1.
        p0_given_1: probability that 1 is read as 0.
        gates: its native gates, by name.
    """

    t1_us: float
    t2_us: float
    p1_given_0: float
    p0_given_1: float
    gates: Mapping[str, NativeGate]


@dataclasses.dataclass(frozen=True)
class DeviceData:
    """A device at a date.

    Args:
        name: of the device.
        date: of its calibration, as ISO 8601 writes it.
        source: where the numbers are from.
        licence: of the source.
        chain: neighbouring qubits, for circuits that choose none.
        gates: native gates of which a circuit's gate is made, by PennyLane's names, in order.
        qubits: by number.
        pairs: native gates on two qubits, by name, of each pair that has some.
    """

    name: str
    date: str
    source: str
    licence: str
    chain: tuple[int, ...]
    gates: Mapping[str, tuple[str, ...]]
    qubits: Mapping[int, Qubit]
    pairs: Mapping[Pair, Mapping[str, NativeGate]]


def pair_of(one: int, other: int) -> Pair:
    """Two qubits, the lower number first."""
    return (one, other) if one < other else (other, one)


def pair_name(pair: Pair) -> str:
    """How a file names a pair: "3-4"."""
    return f"{pair[0]}-{pair[1]}"
