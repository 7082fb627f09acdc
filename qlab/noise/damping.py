"""Damping: qubits lose energy, or phase, to their surroundings."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from qlab.deferred import Deferred
from qlab.noise.base import Channel, Strength

if TYPE_CHECKING:
    import pennylane as qml
else:
    qml = Deferred("pennylane")


class AmplitudeDamping(Channel):
    """Amplitude damping: 1 decays to 0 with probability gamma.

    In the Heisenberg picture X and Y shrink by sqrt(1 - gamma), and Z becomes (1 - gamma) Z + gamma: not unital, so
    that it shifts expectation values besides shrinking them. For a time t with the relaxation time T1,
    gamma = 1 - exp(-t / T1).

    Args:
        gamma: probability of a decay.
    """

    formula: ClassVar[str] = "K0 = diag(1, sqrt(1 - gamma)), K1 = sqrt(gamma) |0><1|"
    source: ClassVar[str] = "Nielsen and Chuang, Eq. 8.108; PennyLane's AmplitudeDamping"

    gamma: Strength

    def on(self, wires: tuple[int, ...]) -> qml.operation.Operator:
        """See the base class."""
        return qml.AmplitudeDamping(self.gamma, wires=wires)


class GeneralizedAmplitudeDamping(Channel):
    """Amplitude damping in warm surroundings: towards 0 with weight 1 - p, towards 1 with weight p.

    Args:
        gamma: probability of damping.
        p: probability that the surroundings excite the qubit.
    """

    formula: ClassVar[str] = "Z -> (1 - gamma) Z + gamma (1 - 2 p)"
    source: ClassVar[str] = "arXiv:1903.07747; PennyLane's GeneralizedAmplitudeDamping"

    gamma: Strength
    p: Strength

    def on(self, wires: tuple[int, ...]) -> qml.operation.Operator:
        """See the base class."""
        return qml.GeneralizedAmplitudeDamping(self.gamma, self.p, wires=wires)


class PhaseDamping(Channel):
    """Phase damping: X and Y shrink by sqrt(1 - gamma), Z stays.

    The same channel as a phase flip with p = (1 - sqrt(1 - gamma)) / 2.

    Args:
        gamma: probability of phase damping.
    """

    formula: ClassVar[str] = "K0 = diag(1, sqrt(1 - gamma)), K1 = diag(0, sqrt(gamma))"
    source: ClassVar[str] = "Nielsen and Chuang, Eq. 8.127; PennyLane's PhaseDamping"

    gamma: Strength

    def on(self, wires: tuple[int, ...]) -> qml.operation.Operator:
        """See the base class."""
        return qml.PhaseDamping(self.gamma, wires=wires)
