"""What a noise channel of a circuit is, and where it acts."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from qlab.component import Component
from qlab.fields import NonNegativeInt, PositiveInt

if TYPE_CHECKING:
    import pennylane as qml


class Channel(Component):
    """Noise in a circuit, at every place that ``after`` names: a table in a quantum model's list ``noise``.

    Gates are those of the circuit after templates, and operations on more than four wires, were decomposed. A channel
    on one qubit acts on each wire of the gate; one on two qubits acts on gates on two wires. Where several tables name
    a gate, they act in the order of the list.

    Override :meth:`on`, and :attr:`size` for channels that act on more than one qubit at once.

    Args:
        after: "all" gates; the name of a gate, such as "IsingZZ"; gates on so many wires, such as 2; at the "start",
            when the features have been prepared; or just before the "readout".
        wires: of the register on which it acts; none stands for all of them.
    """

    kind: ClassVar[str] = "channel"
    tag: ClassVar[str] = "channel"

    size: ClassVar[int] = 1
    """How many qubits it acts on at once."""

    after: str | PositiveInt = "all"
    wires: tuple[NonNegativeInt, ...] = ()

    @property
    def n_qubits(self) -> int:
        """How many qubits it acts on at once."""
        return self.size

    @abstractmethod
    def on(self, wires: tuple[int, ...]) -> qml.operation.Operator:
        """The PennyLane channel on some wires, :attr:`n_qubits` of them; its strength a plain number."""
