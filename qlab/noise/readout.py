"""Errors of the measurement itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from qlab.circuits.observables import PauliSum, Word
from qlab.errors import ConfigError
from qlab.noise.base import Channel, OptionalStrength, Strength, number

if TYPE_CHECKING:
    import pennylane as qml


class ReadoutError(Channel):
    """A measured bit is read wrongly: 1 for 0 with probability p, 0 for 1 with probability p1.

    Every Pauli letter that is measured, Z or one rotated to Z, becomes (1 - p - p1) Z + (p1 - p): with p1 = p it
    shrinks by 1 - 2 p. It acts on the observable, so that any device can have it. Of several on one wire the last of
    the list acts first.

    Args:
        p: probability that 0 is read as 1; and that 1 is read as 0, unless ``p1`` says otherwise.
        p1: probability that 1 is read as 0; left out, it is p.
        after: always "readout".
    """

    formula: ClassVar[str] = "Z -> (1 - p - p1) Z + (p1 - p)"
    source: ClassVar[str] = "arXiv:2006.14044, Eq. 1"

    p: Strength
    p1: OptionalStrength = None
    after: Literal["readout"] = "readout"

    def on(self, wires: tuple[int, ...]) -> qml.operation.Operator:
        """It is none of the circuit's.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("ReadoutError acts on what is measured and not on the circuit.")

    def measured(self, observable: PauliSum) -> PauliSum:
        """The observable whose exact expectation value is that of the erroneous readout of another."""
        terms: dict[Word, float] = {}
        for coefficient, word in observable.terms:
            parts: dict[Word, float] = {(): coefficient}
            for wire, letter in word:
                factor, added = self._changes(wire)
                grown = {(*head, (wire, letter)): value * factor for head, value in parts.items()}
                parts = grown | ({head: value * added for head, value in parts.items()} if added else {})
            for part, value in parts.items():
                terms[part] = terms.get(part, 0.0) + value
        return PauliSum(tuple((value, word) for word, value in terms.items()))

    def _changes(self, wire: int) -> tuple[float, float]:
        """What Z of a wire is multiplied by, and what is added to it."""
        if self.wires and wire not in self.wires:
            return 1.0, 0.0
        own = self.at(wire)
        flipped = number(own.p)
        other = flipped if own.p1 is None else number(own.p1)
        return 1.0 - flipped - other, other - flipped
