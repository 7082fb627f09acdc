"""What a noise channel of a circuit is, and where it acts."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import annotated_types as at

from qlab.circuits.observables import PauliSum
from qlab.component import Component, name_of
from qlab.errors import ConfigError
from qlab.fields import NonNegativeFloat, NonNegativeInt, OneFor, PositiveFloat, PositiveInt, Ratio, fields_of, show

if TYPE_CHECKING:
    import pennylane as qml


WIRE = OneFor("wire")
_SOME = at.MinLen(1)

Strength = Annotated[Ratio | Annotated[tuple[Ratio, ...], _SOME], WIRE]
"""A probability, or one for each wire."""

OptionalStrength = Annotated[Ratio | Annotated[tuple[Ratio, ...], _SOME] | None, WIRE]
PositiveStrength = Annotated[PositiveFloat | Annotated[tuple[PositiveFloat, ...], _SOME], WIRE]
NonNegativeStrength = Annotated[NonNegativeFloat | Annotated[tuple[NonNegativeFloat, ...], _SOME], WIRE]


def number(strength: float | tuple[float, ...]) -> float:
    """A strength that does not differ from wire to wire.

    Raises:
        TypeError: it does; take it of the channel :meth:`Channel.at` a wire.
    """
    if isinstance(strength, tuple):
        raise TypeError("a strength that differs from wire to wire is no number")
    return strength


class Channel(Component):
    """Noise in a circuit, at every place that ``after`` names: a table in a quantum model's list ``noise``.

    Gates are those of the circuit after templates, and operations on more than four wires, were decomposed. A channel
    on one qubit acts on each wire of the gate; one on two qubits acts on gates on two wires. Where several tables name
    a gate, they act in the order of the list.

    A strength of a channel on one qubit may differ from wire to wire: ``p = [[0.01, 0.02, 0.04]]`` in a file, whose
    outer brackets sweep, and ``p=(0.01, 0.02, 0.04)`` in Python have one for each of ``wires``, or of the register's.

    Override :meth:`on`, and :attr:`size` for channels that act on more than one qubit at once. Fields of the type
    ``Strength`` may differ from wire to wire; :meth:`on` gets them as numbers, see :meth:`at`, and a channel's own
    ``check_strengths`` may say which of them go together.

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

    def __post_init__(self) -> None:
        super().__post_init__()
        given = self.by_wire()
        if not given:
            self.check_strengths()
            return
        name = type(self).__name__
        if self.n_qubits > 1:
            raise ConfigError(
                f"{next(iter(given))}: got a list, but {name} acts on {self.n_qubits} qubits at once; accepts one "
                "strength, with a table of its own for each pair that has another (wires = [0, 1])."
            )
        counts = {key: len(values) for key, values in given.items()}
        (first, count), *others = counts.items()
        if differing := [(key, other) for key, other in others if other != count]:
            key, other = differing[0]
            raise ConfigError(f"{first}, {key}: got {count} and {other} strengths, accepts as many of both.")
        if len(set(self.wires)) < len(self.wires):
            raise ConfigError(f"wires: got {show(self.wires)}, accepts each wire once where strengths differ by wire.")
        if self.wires and count != len(self.wires):
            raise ConfigError(
                f"{first}: got {count} strength{'s' * (count > 1)} for {len(self.wires)} "
                f"wire{'s' * (len(self.wires) > 1)}, {show(self.wires)}; accepts one strength, or one for each wire."
            )
        for number in range(count):
            try:
                self._numbered(number)
            except ConfigError as error:
                where = self.wires[number] if self.wires else number
                raise ConfigError(f"wire {where}: {error}") from None

    def check_strengths(self) -> None:
        """Whether the strengths, which are numbers, go together; called for each wire where they differ.

        Raises:
            ConfigError: they do not.
        """

    def by_wire(self) -> dict[str, tuple[Any, ...]]:
        """The strengths that differ from wire to wire, by field."""
        marked = (name for name, field in fields_of(type(self)).items() if field.sweeps_any_list)
        return {name: value for name in marked if isinstance(value := getattr(self, name), tuple)}

    def at(self, wire: int) -> Self:
        """The same channel with the strengths that it has on a wire, all of them numbers."""
        if not self.by_wire():
            return self
        return self._numbered(self.wires.index(wire) if self.wires else wire)

    def check_register(self, n_wires: int) -> None:
        """Whether it fits a register of so many wires.

        Raises:
            ConfigError: it acts outside, or has another number of strengths.
        """
        outside = [wire for wire in self.wires if wire >= n_wires]
        if outside:
            raise ConfigError(f"wires: got {outside[0]}, accepts wires of the register, 0 to {n_wires - 1}.")
        for name, values in self.by_wire().items():
            if not self.wires and len(values) != n_wires:
                raise ConfigError(
                    f"{name}: got {len(values)} strength{'s' * (len(values) > 1)} for {n_wires} "
                    f"wire{'s' * (n_wires > 1)} of the register; accepts one strength, or one for each wire, or wires "
                    "beside it that say which these are."
                )

    def _numbered(self, number: int) -> Self:
        return dataclasses.replace(self, **{name: values[number] for name, values in self.by_wire().items()})

    @property
    def n_qubits(self) -> int:
        """How many qubits it acts on at once."""
        return self.size

    @property
    def in_short(self) -> str:
        """Its name and those of its fields that are not as usual: "BitFlip p=0.01"."""
        fields = fields_of(type(self))
        own = {name: value for name, value in self.field_values().items() if value != fields[name].default}
        strengths_first = sorted(own, key=lambda name: name in fields_of(Channel))
        return " ".join([name_of(self), *(f"{name}={show(own[name])}" for name in strengths_first)])

    @abstractmethod
    def on(self, wires: tuple[int, ...]) -> qml.operation.Operator:
        """The PennyLane channel on some wires, :attr:`n_qubits` of them; its strength a plain number."""

    def after_gate(self, gate: qml.operation.Operator) -> list[qml.operation.Operator]:
        """The PennyLane channels that follow a gate of a circuit, in order."""
        if self.after not in ("all", gate_name(gate), len(gate.wires)):
            return []
        wires = tuple(gate.wires)
        if self.n_qubits > 1:
            whole = len(wires) == self.n_qubits and (not self.wires or set(wires) <= set(self.wires))
            return [self.on(wires)] if whole else []
        return [self.at(wire).on((wire,)) for wire in wires if not self.wires or wire in self.wires]

    def measured(self, observable: PauliSum) -> PauliSum:
        """What is measured in place of an observable: itself, unless readout errs."""
        return observable


def gate_name(gate: qml.operation.Operator) -> str:
    """A gate's name without the power that it may be raised to, which is a weight perhaps."""
    return str(gate.name).split("**")[0]
