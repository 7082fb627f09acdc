"""Pauli errors: with some probability a Pauli operator acts where none should."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

import annotated_types as at

from qlab.circuits.channels import two_qubit_depolarizing
from qlab.deferred import Deferred
from qlab.errors import ConfigError
from qlab.fields import Ratio
from qlab.noise.base import Channel, Strength

if TYPE_CHECKING:
    import pennylane as qml
else:
    qml = Deferred("pennylane")


class DepolarizingChannel(Channel):
    """Depolarizing: with probability p/3 each an X, Y or Z.

    X, Y and Z shrink by 1 - 4 p / 3: p = 3/4 depolarizes fully, p = 1 turns Z into -Z / 3. As in PennyLane.
    Qiskit's ``depolarizing_error(l, 1)`` shrinks them by 1 - l: l = 4 p / 3.

    Args:
        p: probability of an error.
    """

    formula: ClassVar[str] = "rho' = (1 - p) rho + p/3 (X rho X + Y rho Y + Z rho Z)"
    source: ClassVar[str] = "Nielsen and Chuang, Eq. 8.103; PennyLane's DepolarizingChannel"

    p: Strength

    def on(self, wires: tuple[int, ...]) -> qml.operation.Operator:
        """See the base class."""
        return qml.DepolarizingChannel(self.p, wires=wires)


class TwoQubitDepolarizing(Channel):
    """Depolarizing of both qubits of a gate jointly: with probability p/15 each of the Pauli words but the identity.

    Pauli words on the two qubits shrink by 1 - 16 p / 15: p = 15/16 depolarizes fully. Qiskit's
    ``depolarizing_error(l, 2)`` shrinks them by 1 - l: l = 16 p / 15. PennyLane has no class of it.

    Args:
        p: probability of an error.
        after: as of other channels, but of gates on two wires alone; "all" are those.
    """

    formula: ClassVar[str] = "rho' = (1 - p) rho + p/15 sum_P P rho P, P over the 15 Pauli words"
    source: ClassVar[str] = "Qiskit Aer's depolarizing_error on two qubits"
    size: ClassVar[int] = 2

    p: Ratio

    def on(self, wires: tuple[int, ...]) -> qml.operation.Operator:
        """See the base class."""
        return two_qubit_depolarizing(self.p, wires)


class BitFlip(Channel):
    """Bit flip: an X with probability p.

    Args:
        p: probability of a flip.
    """

    formula: ClassVar[str] = "rho' = (1 - p) rho + p X rho X"
    source: ClassVar[str] = "Nielsen and Chuang, Eq. 8.93; PennyLane's BitFlip"

    p: Strength

    def on(self, wires: tuple[int, ...]) -> qml.operation.Operator:
        """See the base class."""
        return qml.BitFlip(self.p, wires=wires)


class PhaseFlip(Channel):
    """Phase flip: a Z with probability p.

    The same channel as phase damping with gamma = 1 - (1 - 2 p)^2.

    Args:
        p: probability of a flip.
    """

    formula: ClassVar[str] = "rho' = (1 - p) rho + p Z rho Z"
    source: ClassVar[str] = "Nielsen and Chuang, Eq. 8.95; PennyLane's PhaseFlip"

    p: Strength

    def on(self, wires: tuple[int, ...]) -> qml.operation.Operator:
        """See the base class."""
        return qml.PhaseFlip(self.p, wires=wires)


class PauliError(Channel):
    """A Pauli word with probability p, on as many qubits as it has letters.

    Args:
        operators: letters of I, X, Y and Z, such as "X" or "ZZ"; at most three.
        p: probability of the error.
    """

    formula: ClassVar[str] = "rho' = (1 - p) rho + p P rho P"
    source: ClassVar[str] = "PennyLane's PauliError"

    operators: Annotated[str, at.MinLen(1), at.MaxLen(3)]
    p: Strength

    def check_strengths(self) -> None:
        """See the base class."""
        if set(self.operators) - set("IXYZ"):
            raise ConfigError(f'operators: got "{self.operators}", accepts letters of I, X, Y and Z, such as "ZZ".')

    @property
    def n_qubits(self) -> int:
        """As many as letters."""
        return len(self.operators)

    def on(self, wires: tuple[int, ...]) -> qml.operation.Operator:
        """See the base class."""
        return qml.PauliError(self.operators, self.p, wires=wires)
