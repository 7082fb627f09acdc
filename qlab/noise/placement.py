"""Channels in their places in a circuit."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qlab.circuits.channels import is_channel
from qlab.circuits.observables import PauliSum
from qlab.deferred import Deferred
from qlab.errors import ConfigError, nearest
from qlab.fields import show
from qlab.noise.base import Channel, gate_name
from qlab.noise.device import DeviceNoise
from qlab.noise.readout import ReadoutError

if TYPE_CHECKING:
    import pennylane as qml
else:
    qml = Deferred("pennylane")

_NO_GATES = frozenset({"Barrier", "Snapshot", "WireCut", "GlobalPhase"})
"""Operations that take no time on a device, and get no noise."""

_CAPABLE = ("lightcone", "default.mixed")
"""Devices that can have noise."""

_ENDS = ("start", "readout")


@dataclasses.dataclass(frozen=True)
class Placement:
    """The noise of a circuit.

    Args:
        owner: the name of the model's class, for messages.
        channels: in the order of the model's list.
        n_wires: the size of the register.
    """

    owner: str
    channels: tuple[Channel, ...]
    n_wires: int

    def __post_init__(self) -> None:
        for channel, where in self._numbered():
            if isinstance(channel, DeviceNoise):
                channel.check_register(self.n_wires)  # which names its file
                continue
            try:
                channel.check_register(self.n_wires)
            except ConfigError as error:
                raise ConfigError(f"{where}.{error}") from None
            size, name = channel.n_qubits, type(channel).__name__
            if size > 1 and channel.after in _ENDS:
                raise ConfigError(
                    f"{where}.after: got {show(channel.after)}, but {name} acts on {size} qubits at once; accepts "
                    f'"all", the name of a gate, or {size}.'
                )
            if size > 1 and isinstance(channel.after, int) and channel.after != size:
                raise ConfigError(
                    f"{where}.after: got {channel.after}, but {name} acts on {size} qubits at once; accepts {size}."
                )

    def __call__(self, gates: Sequence[qml.operation.Operator]) -> list[Any]:
        """The same gates with channels among them; those that are there already get none."""
        with qml.QueuingManager.stop_recording():
            found: list[Any] = self._at("start")
            for gate in gates:
                found.append(gate)
                if not is_channel(gate) and gate.name not in _NO_GATES:
                    found += [made for channel in self.channels for made in channel.after_gate(gate)]
            return found + self._at("readout")

    def check_device(self, device: str) -> None:
        """Whether a device can have the noise.

        Raises:
            ConfigError: it keeps pure states.
        """
        if not all(isinstance(channel, ReadoutError) for channel in self.channels):
            check_capable(self.owner, device)

    def measured(self, observable: PauliSum) -> PauliSum:
        """The observable, with errors of the readout."""
        for channel in self.channels:
            observable = channel.measured(observable)
        return observable

    def check(self, gates: Sequence[qml.operation.Operator]) -> None:
        """Whether the circuit has the gates that are named.

        Raises:
            ConfigError: it has none of that name, or of that many wires.
        """
        own = [gate for gate in gates if not is_channel(gate) and gate.name not in _NO_GATES]
        names = sorted({gate_name(gate) for gate in own})
        sizes = sorted({len(gate.wires) for gate in own})
        for channel, where in self._numbered():
            after, size, name = channel.after, channel.n_qubits, type(channel).__name__
            if isinstance(after, int) and after not in sizes:
                raise ConfigError(
                    f"{where}.after: got {after}, and the circuit has no gate on {after} wires; it has gates on "
                    f"{', '.join(map(str, sizes))}."
                )
            if isinstance(after, str) and after not in ("all", *_ENDS, *names):
                raise ConfigError(
                    f"{where}.after: got {show(after)}, and the circuit has no such gate.{nearest(after, names)} "
                    f'Accepts "all", "start", "readout", a number of wires, or one of {", ".join(map(show, names))}.'
                )
            wide = {len(gate.wires) for gate in own if gate_name(gate) == after}
            if size > 1 and wide and size not in wide:
                raise ConfigError(
                    f"{where}.after: got {show(after)}, a gate on {min(wide)} wires, but {name} acts on {size} qubits "
                    "at once."
                )
            if size > 1 and after == "all" and size not in sizes:
                raise ConfigError(
                    f"{where}: {name} acts on {size} qubits at once, and the circuit has no gate on {size} wires."
                )

    def _at(self, end: str) -> list[Any]:
        return [
            channel.at(wire).on((wire,))
            for channel in self.channels
            if channel.after == end and not isinstance(channel, ReadoutError)
            for wire in channel.wires or range(self.n_wires)
        ]

    def _numbered(self) -> list[tuple[Channel, str]]:
        return [(channel, f"{self.owner}: noise[{number}]") for number, channel in enumerate(self.channels, start=1)]


def check_capable(owner: str, device: str) -> None:
    """Whether a device can have channels.

    Args:
        owner: the name of the model's class, for messages.
        device: its name.

    Raises:
        ConfigError: it keeps pure states.
    """
    if device not in _CAPABLE:
        raise ConfigError(
            f'{owner}: noise: device = "{device}" keeps pure states and has no noise; use device = "lightcone", or '
            '"default.mixed" for PennyLane\'s density matrices.'
        )
