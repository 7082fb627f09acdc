"""The numbers of Qiskit's fake backends, which are snapshots of IBM's machines; needs the extra ``qiskit``."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Iterable, Mapping
from typing import Any, Final

from qlab.errors import ConfigError, MissingExtraError, unknown
from qlab.noise.device_data import ONE_QUBIT, TWO_QUBIT, DeviceData, NativeGate, Pair, Qubit, pair_of
from qlab.version import DISTRIBUTION

_MICROSECONDS: Final = {"s": 1e6, "ms": 1e3, "us": 1.0, "µs": 1.0, "ns": 1e-3}

_LISTED = 6
"""Places where a gate is not calibrated."""

_LONGEST_CHAIN = 40
_MOST_STEPS = 20_000
"""After so many steps the longest chain that was found is taken."""

_COUPLINGS = ("IsingXX", "IsingYY", "IsingZZ", "CRX", "CRY", "CRZ", "ControlledPhaseShift")
"""Gates that take one RZZ, or two of CX, CZ or ECR."""


@dataclasses.dataclass(frozen=True)
class Imported:
    """A device, and what of the backend it does not have or has differently.

    Args:
        data: the numbers.
        notes: sentences.
    """

    data: DeviceData
    notes: tuple[str, ...]


def import_backend(name: str, qubits: Iterable[int] | None = None) -> Imported:
    """The numbers of a fake backend.

    Errors keep six digits. Of the two directions of a pair the quicker counts. Gates that are reported with an error
    of 1 are not calibrated, and left out.

    Args:
        name: its class in ``qiskit_ibm_runtime.fake_provider``, such as "FakeKingston".
        qubits: of which it is to be; by default all.

    Raises:
        MissingExtraError: qiskit-ibm-runtime is not installed.
        ConfigError: there is no such backend, or it has no such qubits, or no calibration.
    """
    try:
        from qiskit_ibm_runtime import fake_provider
    except ImportError as error:
        raise MissingExtraError(
            f"qiskit-ibm-runtime, which has the backends, is not installed; pip install {DISTRIBUTION}[qiskit]."
        ) from error
    version = importlib.metadata.version("qiskit-ibm-runtime")
    classes = {own: cls for own, cls in vars(fake_provider).items() if own.startswith("Fake") and _is_backend(cls)}
    if name not in classes:
        raise ConfigError(unknown(f"backend of qiskit-ibm-runtime {version}", name, classes))
    backend = classes[name]()
    source = f"{name} of qiskit-ibm-runtime {version}, Copyright IBM; selected, rounded"
    return device_of(backend.properties().to_dict(), source, "Apache-2.0", qubits)


def device_of(
    properties: Mapping[str, Any], source: str, licence: str = "", qubits: Iterable[int] | None = None
) -> Imported:
    """A device by what Qiskit's ``backend.properties().to_dict()`` says.

    Args:
        properties: the dictionary.
        source: what to say of where it is from.
        licence: of the source.
        qubits: of which it is to be; by default all.

    Raises:
        ConfigError: there are no such qubits, or no calibration of any.
    """
    notes: list[str] = []
    wanted = range(len(properties["qubits"])) if qubits is None else sorted(set(qubits))
    if beyond := [number for number in wanted if not 0 <= number < len(properties["qubits"])]:
        raise ConfigError(f"qubits: got {beyond[0]}, accepts 0 to {len(properties['qubits']) - 1}.")
    on_one, on_two = _native_gates(properties["gates"], set(wanted), notes)
    found: dict[int, Qubit] = {}
    for number in wanted:
        made = _qubit(number, properties["qubits"][number], on_one.get(number, {}), notes)
        if made is not None:
            found[number] = made
    pairs = {pair: gates for pair, gates in on_two.items() if set(pair) <= set(found)}
    if not found:
        raise ConfigError("the backend has no calibration of these qubits: no T1 and T2.")
    gates = _made_of(_names(qubit.gates for qubit in found.values()), _names(pairs.values()))
    used = {native for natives in gates.values() for native in natives}
    data = DeviceData(
        name=str(properties["backend_name"]),
        date=_iso(properties["last_update_date"]),
        source=source,
        licence=licence,
        chain=_chain(found, gates, pairs),
        gates=gates,
        qubits={number: dataclasses.replace(qubit, gates=_only(used, qubit.gates)) for number, qubit in found.items()},
        pairs={pair: _only(used, own) for pair, own in pairs.items()},
    )
    return Imported(data, tuple(notes))


def _is_backend(cls: Any) -> bool:
    return isinstance(cls, type) and hasattr(cls, "properties") and hasattr(cls, "props_filename")


def _native_gates(
    gates: Iterable[Mapping[str, Any]], wanted: set[int], notes: list[str]
) -> tuple[dict[int, dict[str, NativeGate]], dict[Pair, dict[str, NativeGate]]]:
    on_one: dict[int, dict[str, NativeGate]] = {}
    on_two: dict[Pair, dict[str, NativeGate]] = {}
    broken: dict[str, list[str]] = {}
    for gate in gates:
        values = {item["name"]: item for item in gate["parameters"]}
        where = tuple(gate["qubits"])
        if (
            not {"gate_error", "gate_length"} <= set(values)
            or gate["gate"].startswith("measure")
            or not set(where) <= wanted
        ):
            continue
        time = 1000.0 * _microseconds(values["gate_length"])
        made = NativeGate(_rounded(values["gate_error"]["value"]), _rounded(time))
        if not 0.0 <= made.error < 1.0:
            broken.setdefault(gate["gate"], []).append("-".join(map(str, where)))
        elif len(where) == 1:
            if made.time_ns or made.error:  # those that take no time and never fail are frames that turn
                on_one.setdefault(where[0], {})[gate["gate"]] = made
        elif len(where) == 2:
            own = on_two.setdefault(pair_of(*where), {})
            known = own.get(gate["gate"])
            own[gate["gate"]] = made if known is None or made.time_ns < known.time_ns else known
    for name, places in sorted(broken.items()):
        listed = ", ".join(places[:_LISTED]) + (f" and {len(places) - _LISTED} more" if len(places) > _LISTED else "")
        notes.append(f"{name} is not calibrated on {listed}, and left out there.")
    return on_one, on_two


def _qubit(
    number: int, items: Iterable[Mapping[str, Any]], gates: Mapping[str, NativeGate], notes: list[str]
) -> Qubit | None:
    values = {item["name"]: item for item in items}
    if not {"T1", "T2"} <= set(values):
        notes.append(f"qubit {number} has no T1 or T2, and is left out.")
        return None
    t1, t2 = _rounded(_microseconds(values["T1"])), _rounded(_microseconds(values["T2"]))
    if not (t1 > 0.0 and t2 > 0.0):
        notes.append(f"qubit {number} has T1 = {t1:g} us and T2 = {t2:g} us, and is left out.")
        return None
    if t2 > 2.0 * t1:
        notes.append(f"qubit {number}: T2 = {t2:g} us is more than 2 T1 can be, and was set to it.")
        t2 = 2.0 * t1
    both = values.get("readout_error", {"value": 0.0})
    up, down = (_rounded(values.get(key, both)["value"]) for key in ("prob_meas1_prep0", "prob_meas0_prep1"))
    return Qubit(t1, t2, up, down, gates)


def _made_of(on_one: set[str], on_two: set[str]) -> dict[str, tuple[str, ...]]:
    """Which native gates make PennyLane's; frames that turn between them are free.

    Any gate on one wire is RZ RX RZ, or RZ SX RZ SX RZ; a controlled rotation is RZZ with gates on one wire around it,
    or two of CX, CZ or ECR; any gate on two wires takes three of these. Gates on one wire around those on two are not
    counted.
    """
    ways: tuple[tuple[str, ...], ...] = (("rx",), ("sx", "sx"), ("u3",), ("u2", "u2"), ("x",))
    own = {ONE_QUBIT: next((way for way in ways if way[0] in on_one), ())}
    own |= {name: (native,) for name, native in (("PauliX", "x"), ("SX", "sx"), ("Hadamard", "sx")) if native in on_one}
    entangler = next((name for name in ("cz", "cx", "ecr", "rzz") if name in on_two), None)
    if entangler is None:
        return own | {TWO_QUBIT: ()}
    couple = ("rzz",) if "rzz" in on_two else (entangler,) * 2
    own |= dict.fromkeys(_COUPLINGS, couple) | dict.fromkeys(("CNOT", "CY", "CZ"), (entangler,))
    return own | {TWO_QUBIT: (entangler,) * 3}


def _chain(
    qubits: Mapping[int, Qubit], gates: Mapping[str, tuple[str, ...]], pairs: Mapping[Pair, Mapping[str, NativeGate]]
) -> tuple[int, ...]:
    """Neighbours that have all gates that others are made of: the longest path that a bounded search finds first."""
    used = {native for natives in gates.values() for native in natives}
    names = used & _names(qubit.gates for qubit in qubits.values()), used & _names(pairs.values())
    beside: dict[int, list[int]] = {number: [] for number, own in qubits.items() if names[0] <= set(own.gates)}
    for (one, other), own in sorted(pairs.items()):
        if one in beside and other in beside and names[1] <= set(own):
            beside[one].append(other)
            beside[other].append(one)
    best: tuple[int, ...] = (min(beside or qubits),)
    steps = 0
    stack: list[tuple[int, ...]] = [(number,) for number in sorted(beside, reverse=True)]
    while stack and steps < _MOST_STEPS and len(best) < _LONGEST_CHAIN:
        path = stack.pop()
        steps += 1
        best = path if len(path) > len(best) else best
        stack += [(*path, following) for following in sorted(beside[path[-1]], reverse=True) if following not in path]
    return best


def _names(places: Iterable[Mapping[str, NativeGate]]) -> set[str]:
    return {name for gates in places for name in gates}


def _only(used: set[str], gates: Mapping[str, NativeGate]) -> dict[str, NativeGate]:
    return {name: gate for name, gate in gates.items() if name in used}


def _microseconds(item: Mapping[str, Any]) -> float:
    return float(item["value"]) * _MICROSECONDS[item["unit"]]


def _rounded(value: float) -> float:
    return float(f"{float(value):.6g}")


def _iso(date: Any) -> str:
    return date if isinstance(date, str) else str(date.isoformat())
