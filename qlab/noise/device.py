"""The noise of a quantum computer, from its calibration."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import annotated_types as at

from qlab.circuits.channels import two_qubit_depolarizing
from qlab.circuits.observables import PauliSum
from qlab.deferred import Deferred
from qlab.errors import ConfigError
from qlab.fields import NonNegativeFloat, NonNegativeInt, PositiveFloat, Ratio
from qlab.noise.base import Channel, gate_name
from qlab.noise.device_data import ONE_QUBIT, QUBIT_NUMBERS, TWO_QUBIT, DeviceData, NativeGate, pair_of
from qlab.noise.device_file import check_chosen, device_path, read_device
from qlab.noise.readout import ReadoutError

if TYPE_CHECKING:
    import pennylane as qml
else:
    qml = Deferred("pennylane")

_FEW = 6
"""Qubits that are named in short."""

_LONGEST = 5500
"""Characters of a field's value: the store keeps 6000 of a param."""

IN_PYTHON = (
    'In Python: from qlab.noise import DeviceNoise; noise=DeviceNoise.read("kingston"), which also takes qubits=(0, 1).'
)
"""What to write instead of a file's table of a device."""

ALONE = (
    "a device has noise of all kinds, and stands alone: noise = { device = ... }. To compare noises, sweep them: "
    "noise = [[], { device = ... }, [{ channel = ... }]]."
)

_FILE = "__qlab_file__"
"""Where a device's noise keeps the file that it was read from, for messages."""

ByPlace = tuple[tuple[str, tuple[Ratio | None, ...], tuple[NonNegativeFloat | None, ...]], ...]
"""Native gates: the name, errors and times at each place; None where the device does not have it."""


class DeviceNoise(Channel):
    """The noise of a quantum computer, from its calibration: depolarizing and relaxation after each gate, readout.

    A quantum model has ``noise = { device = "kingston" }`` in place of a list: the name of a device that comes with
    qlab (`qlab list devices`) or a TOML file, from the folder of the experiment file; `qlab noise import` writes one of
    a backend of Qiskit's. Optional ``qubits = [3, 4, 5]`` are those of the device that the wires 0, 1, 2 are; without
    it they are the first of the file's chain. In Python: ``DeviceNoise.read("kingston", qubits=(3, 4, 5))``. The
    numbers of these qubits are fields: part of what a trial is, kept in the store and sent along to other machines.

    The file says for each gate of a circuit which native gates it is made of (IsingZZ = ["cx", "cx"]), or else for all
    on one wire and all on two. Gates on one wire that are diagonal (RZ, PhaseShift, S, ...) are free unless they are
    named there: devices turn the frame instead.

    After the exact gate comes the noise of each of its native gates in turn; of those on one qubit, on each wire of the
    gate. It is depolarizing of its wires jointly, then relaxation of each towards 0 for the native gate's time t, so
    that both together have the stated average error e. Relaxation alone has the average fidelity
    F_R = (d F_P + 1) / (d + 1) with d = 2 or 4 and F_P the product over wires of (1 + 2 exp(-t/T2) + exp(-t/T1)) / 4;
    so depolarizing replaces the state by the mixed one with probability lambda = d (F_R - 1 + e) / (d F_R - 1). Where
    relaxation alone exceeds the stated error, lambda is 0, and the error is that of relaxation. At the end, each qubit
    is read with its own errors. Qubits that wait have no noise, and nothing acts on neighbours. The channels are those
    of Qiskit Aer's ``NoiseModel.from_backend``.

    Args:
        device: its name.
        date: of the calibration.
        qubits: of the device, by wire; a circuit on fewer wires uses the first of them.
        t1_us: relaxation times T1 by qubit, in microseconds.
        t2_us: dephasing times T2, in microseconds; at most 2 T1.
        p1_given_0: probabilities that 0 is read as 1.
        p0_given_1: probabilities that 1 is read as 0.
        pairs: wires that the device couples.
        one_qubit: native gates on one qubit: name, errors, and times in nanoseconds, by qubit.
        two_qubit: native gates on two: name, errors, and times in nanoseconds, by pair.
        gates: names of a circuit's gates, and the native gates that each is made of.
        after: always "all".
        wires: on which it acts; none stands for all of them.
    """

    formula: ClassVar[str] = "E = R D_lambda, lambda = d (F_R - 1 + e) / (d F_R - 1), at least 0"
    source: ClassVar[str] = "Qiskit Aer's basic_device_gate_errors; F = (d F_P + 1) / (d + 1): arXiv:quant-ph/0205035"

    details: ClassVar[tuple[str, ...]] = (*QUBIT_NUMBERS, "pairs", "one_qubit", "two_qubit", "gates")
    """Fields that are too long to name a model in figures; device, date and qubits do."""

    device: str
    date: str = ""
    qubits: Annotated[tuple[NonNegativeInt, ...], at.MinLen(1)]
    t1_us: tuple[PositiveFloat, ...]
    t2_us: tuple[PositiveFloat, ...]
    p1_given_0: tuple[Ratio, ...]
    p0_given_1: tuple[Ratio, ...]
    pairs: tuple[tuple[NonNegativeInt, NonNegativeInt], ...] = ()
    one_qubit: ByPlace = ()
    two_qubit: ByPlace = ()
    gates: tuple[tuple[str, tuple[str, ...]], ...] = ()
    after: Literal["all"] = "all"

    @classmethod
    def read(cls, file: str | Path, qubits: Sequence[int] = (), folder: Path | None = None) -> DeviceNoise:
        """The noise of a device by its file, or by the name of one that comes with qlab.

        Args:
            file: a path, or a name that `qlab list devices` prints.
            qubits: of the device, in the order of the circuit's wires; none stands for the file's chain.
            folder: where relative paths start; by default the current folder.

        Raises:
            ConfigError: there is no such file, it cannot be used, or lacks a qubit.
        """
        path = device_path(str(file), folder)
        data = read_device(path)
        try:
            made = cls.of(data, tuple(qubits))
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None
        object.__setattr__(made, _FILE, str(path))
        return made

    @classmethod
    def of(cls, data: DeviceData, qubits: tuple[int, ...] = ()) -> DeviceNoise:
        """The noise of some qubits of a device, by default of its chain.

        Raises:
            ConfigError: it lacks one of them, or they are too many.
        """
        check_chosen("qubits", qubits, data.qubits)
        chosen = tuple(qubits or data.chain)
        own = [data.qubits[number] for number in chosen]
        pairs = [
            (one, other)
            for one, other in itertools.combinations(range(len(chosen)), 2)
            if pair_of(chosen[one], chosen[other]) in data.pairs
        ]
        coupled = [data.pairs[pair_of(chosen[one], chosen[other])] for one, other in pairs]
        used = {gate for natives in data.gates.values() for gate in natives}
        fields: dict[str, Any] = {
            "qubits": chosen,
            **{name: tuple(getattr(qubit, name) for qubit in own) for name in QUBIT_NUMBERS},
            "pairs": tuple(pairs),
            "one_qubit": _by_place(used, [qubit.gates for qubit in own]),
            "two_qubit": _by_place(used, coupled),
            "gates": tuple(sorted(data.gates.items())),
        }
        for value in fields.values():
            if len(json.dumps(value)) > _LONGEST:
                raise ConfigError(
                    f"qubits: got {len(chosen)}, whose numbers are more than the store keeps of a model; name those "
                    "that the circuit uses."
                )
        return cls(device=data.name, date=data.date, **fields)

    def __post_init__(self) -> None:
        super().__post_init__()
        size = len(self.qubits)
        for name in QUBIT_NUMBERS:
            if len(getattr(self, name)) != size:
                raise ConfigError(
                    f"{name}: got {len(getattr(self, name))} values, accepts one for each of {size} qubits."
                )
        for name, places in (("one_qubit", size), ("two_qubit", len(self.pairs))):
            for gate, *values in getattr(self, name):
                if any(len(own) != places for own in values):
                    raise ConfigError(f"{name}: {gate}: accepts an error and a time for each of {places} places.")
        for one, other in self.pairs:
            if not one < other < size:
                raise ConfigError(f"pairs: got [{one}, {other}], accepts two of the wires 0 to {size - 1}, in order.")
        for qubit, t1, t2 in zip(self.qubits, self.t1_us, self.t2_us, strict=True):
            if t2 > 2.0 * t1:
                raise ConfigError(f"t2_us: got {t2:g} for qubit {qubit}, accepts at most 2 t1_us = {2.0 * t1:g}.")

    @property
    def in_short(self) -> str:
        """The device and its qubits: "ibm_kingston 3, 4, 5 and 30 more"."""
        said = ", ".join(map(str, self.qubits[:_FEW]))
        return f"{self.device} {said}" + (f" and {len(self.qubits) - _FEW} more" if len(self.qubits) > _FEW else "")

    def check_register(self, n_wires: int) -> None:
        """Whether there is a qubit for each wire of a register.

        Raises:
            ConfigError: there is not, or it is to act outside.
        """
        if n_wires > len(self.qubits):
            raise ConfigError(
                f"{self._where}: the circuit has {n_wires} wires, and these are {len(self.qubits)} qubits: "
                f"{', '.join(map(str, self.qubits))}. Name {n_wires} in qubits = [...]."
            )
        try:
            super().check_register(n_wires)
        except ConfigError as error:
            raise ConfigError(f"{self._where}: {error}") from None

    def on(self, wires: tuple[int, ...]) -> qml.operation.Operator:
        """It differs from gate to gate, see :meth:`after_gate`.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("DeviceNoise is several channels, which differ from gate to gate; see after_gate.")

    def after_gate(self, gate: qml.operation.Operator) -> list[qml.operation.Operator]:
        """The channels that follow a gate of a circuit, in order.

        Raises:
            ConfigError: the device has no such gate, or not there.
        """
        wires = tuple(gate.wires)
        acted = tuple(wire for wire in wires if not self.wires or wire in self.wires)
        on_one = {name for name, *_ in self.one_qubit}
        found: list[qml.operation.Operator] = []
        for native in self._made_of(gate):
            places: list[tuple[int, ...]] = [(wire,) for wire in acted]
            if native not in on_one:
                places = [acted] if len(acted) == 2 else []
            for place in places:
                found += self._noise(self._native(native, place, gate), place, f"{native} on {self._named(place)}")
        return found

    def measured(self, observable: PauliSum) -> PauliSum:
        """The observable whose exact expectation value is that of the erroneous readout of another."""
        for wire in self.wires or range(len(self.qubits)):
            error = ReadoutError(p=self.p1_given_0[wire], p1=self.p0_given_1[wire], wires=(wire,))
            observable = error.measured(observable)
        return observable

    def _made_of(self, gate: qml.operation.Operator) -> tuple[str, ...]:
        """The native gates that a gate is made of; its inverse and its powers are made of as many."""
        while isinstance(gate, qml.ops.Adjoint | qml.ops.Pow):
            gate = gate.base
        known, name = dict(self.gates), gate_name(gate)
        if name in known:
            return known[name]
        if len(gate.wires) == 1:
            return () if gate in qml.ops.qubit.attributes.diagonal_in_z_basis else known.get(ONE_QUBIT, ())
        if len(gate.wires) == 2:
            return known.get(TWO_QUBIT, ())
        raise ConfigError(
            f"{self._where}: the circuit has {gate.name} on {len(gate.wires)} wires; accepts gates on one wire or two, "
            "as the device has them."
        )

    def _native(self, name: str, place: tuple[int, ...], gate: qml.operation.Operator) -> NativeGate:
        where: tuple[int, ...] | int = place[0] if len(place) == 1 else pair_of(*place)
        if len(place) == 2 and where not in self.pairs:
            beside = [pair for pair in self.pairs if set(pair) & set(place)]
            accepted = ", ".join(self._named(pair) for pair in beside) or "neither with any"
            raise ConfigError(
                f"{self._where}: pairs.{self._named(place)}: missing; the circuit has {gate.name} on wires {place[0]} "
                f"and {place[1]}, which are these qubits. Of the chosen ones the device couples {accepted}. Choose "
                "others in qubits = [...]."
            )
        index = where if isinstance(where, int) else self.pairs.index(where)
        for own, errors, times in self.one_qubit if len(place) == 1 else self.two_qubit:
            error, time = errors[index], times[index]
            if own == name and error is not None and time is not None:
                return NativeGate(error, time)
        key = f"{'qubits' if len(place) == 1 else 'pairs'}.{self._named(place)}.{name}"
        raise ConfigError(
            f"{self._where}: {key}: missing; the circuit has {gate.name} there, which is made of "
            f"{', '.join(self._made_of(gate))}. Choose others in qubits = [...], or other gates in the file's [gates]."
        )

    def _noise(self, native: NativeGate, place: tuple[int, ...], what: str) -> list[qml.operation.Operator]:
        time = native.time_ns / 1000.0
        t1, t2 = [self.t1_us[wire] for wire in place], [self.t2_us[wire] for wire in place]
        share = depolarized(native.error, fidelity_of_relaxation(time, t1, t2), len(place))
        if share > 1.0:
            raise ConfigError(
                f"{self._where}: the error of {what} is {native.error:g}, more than when nothing is kept, "
                f"{1.0 - 0.5 ** len(place):g}: it was not calibrated. Choose others in qubits = [...]."
            )
        found: list[qml.operation.Operator] = []
        if share and len(place) == 1:
            found.append(qml.DepolarizingChannel(0.75 * share, wires=place[0]))
        elif share:
            found.append(two_qubit_depolarizing(0.9375 * share, place))
        if time:
            found += [
                qml.ThermalRelaxationError(0.0, a, b, time, wires=w) for a, b, w in zip(t1, t2, place, strict=True)
            ]
        return found

    def _named(self, place: tuple[int, ...]) -> str:
        """Wires as a file names their qubits: "3", "3-4"."""
        return "-".join(map(str, sorted(self.qubits[wire] for wire in place)))

    @property
    def _where(self) -> str:
        return f"noise: {vars(self).get(_FILE, self.device)}"


def fidelity_of_relaxation(time: float, t1: Sequence[float], t2: Sequence[float]) -> float:
    """The average gate fidelity of qubits that relax for a time: F_R in :class:`DeviceNoise`."""
    dimension = 2.0 ** len(t1)
    kept = math.prod((1.0 + 2.0 * math.exp(-time / b) + math.exp(-time / a)) / 4.0 for a, b in zip(t1, t2, strict=True))
    return (dimension * kept + 1.0) / (dimension + 1.0)


def depolarized(error: float, fidelity: float, n_qubits: int) -> float:
    """The probability lambda with which a state is replaced by the mixed one, see :class:`DeviceNoise`."""
    dimension = 2.0**n_qubits
    return max(0.0, dimension * (fidelity - 1.0 + error) / (dimension * fidelity - 1.0))


def _by_place(used: set[str], places: Sequence[Any]) -> ByPlace:
    names = sorted({name for gates in places for name in gates} & used)
    found = []
    for name in names:
        own = [gates.get(name) for gates in places]
        errors = tuple(None if gate is None else gate.error for gate in own)
        found.append((name, errors, tuple(None if gate is None else gate.time_ns for gate in own)))
    return tuple(found)
