"""What happens to a qubit while a gate takes its time, and resets."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from qlab.deferred import Deferred
from qlab.errors import ConfigError
from qlab.noise.base import Channel, NonNegativeStrength, PositiveStrength, Strength, number

if TYPE_CHECKING:
    import pennylane as qml
else:
    qml = Deferred("pennylane")


class ThermalRelaxationError(Channel):
    """Relaxation for the time of a gate: Z shrinks by exp(-tg / t1), X and Y by exp(-tg / t2).

    Times are in one unit, whichever that is.

    Args:
        pe: population of 1 in equilibrium; 0 is a cold qubit.
        t1: relaxation time T1.
        t2: dephasing time T2, at most 2 T1.
        tg: time that the gate takes.
    """

    formula: ClassVar[str] = "X, Y -> e^(-tg/t2) X, Y; Z -> e^(-tg/t1) Z + (1 - e^(-tg/t1)) (1 - 2 pe)"
    source: ClassVar[str] = "PennyLane's ThermalRelaxationError; Qiskit Aer's thermal_relaxation_error"

    pe: Strength = 0.0
    t1: PositiveStrength
    t2: PositiveStrength
    tg: NonNegativeStrength

    def check_strengths(self) -> None:
        """See the base class."""
        t1, t2 = number(self.t1), number(self.t2)
        if t2 > 2.0 * t1:
            raise ConfigError(f"t2: got {t2:g}, accepts at most 2 t1 = {2.0 * t1:g}.")

    def on(self, wires: tuple[int, ...]) -> qml.operation.Operator:
        """See the base class."""
        return qml.ThermalRelaxationError(self.pe, self.t1, self.t2, self.tg, wires=wires)


class ResetError(Channel):
    """The qubit is set to 0 or to 1, whatever it was.

    Args:
        p0: probability of a reset to 0.
        p1: probability of a reset to 1; together at most 1.
    """

    formula: ClassVar[str] = "rho' = (1 - p0 - p1) rho + p0 |0><0| + p1 |1><1|"
    source: ClassVar[str] = "PennyLane's ResetError"

    p0: Strength = 0.0
    p1: Strength = 0.0

    def check_strengths(self) -> None:
        """See the base class."""
        p0, p1 = number(self.p0), number(self.p1)
        if p0 + p1 > 1.0:
            raise ConfigError(f"p0, p1: got {p0:g} and {p1:g}, accepts probabilities of at most 1 together.")

    def on(self, wires: tuple[int, ...]) -> qml.operation.Operator:
        """See the base class."""
        return qml.ResetError(self.p0, self.p1, wires=wires)
