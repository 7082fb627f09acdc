"""Writing a device's numbers as a file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from qlab.noise.device_data import QUBIT_NUMBERS, DeviceData, NativeGate, pair_name

_HEAD = """\
# A quantum computer's numbers at a date: noise = {{ device = "..." }} of a quantum model. Times T1 and T2 in
# microseconds, times of gates in nanoseconds; errors of gates are average gate infidelities; p1_given_0 is the
# probability that 0 is read as 1. See `qlab describe DeviceNoise`.{notes}
"""

_GATES = """\
# The native gates that a gate of a circuit is made of, by PennyLane's names; one_qubit and two_qubit are all others.
# Diagonal gates on one wire (RZ, PhaseShift, ...) are free unless they stand here.
"""


def written(data: DeviceData, notes: Iterable[str] = ()) -> str:
    """A device's file, which :func:`qlab.noise.device_file.read_device` reads as the same again.

    Args:
        data: the numbers.
        notes: comments on the file.
    """
    lines = [_HEAD.format(notes="".join(f"\n# {note}" for note in notes))]
    for key, text in (("name", data.name), ("source", data.source), ("licence", data.licence)):
        lines.append(f"{key} = {_text(text)}\n")
    lines.insert(2, f"date = {_text(data.date)}\n")
    lines.append(f"chain = {list(data.chain)}\n\n{_GATES}[gates]\n")
    lines += [f"{_key(name)} = {json.dumps(list(natives))}\n" for name, natives in data.gates.items()]
    lines.append("\n[qubits]\n")
    for number, qubit in sorted(data.qubits.items()):
        own = [f"{key} = {getattr(qubit, key)!r}" for key in QUBIT_NUMBERS]
        lines.append(f"{number} = {{ {', '.join([*own, *_gates(qubit.gates)])} }}\n")
    lines.append("\n[pairs]\n")
    lines += [f"{pair_name(pair)} = {{ {', '.join(_gates(gates))} }}\n" for pair, gates in sorted(data.pairs.items())]
    return "".join(lines)


def _gates(gates: Mapping[str, NativeGate]) -> list[str]:
    return [
        f"{_key(name)} = {{ error = {gate.error!r}, time_ns = {gate.time_ns!r} }}"
        for name, gate in sorted(gates.items())
    ]


def _key(name: str) -> str:
    bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if bare else _text(name)


def _text(text: str) -> str:
    """A TOML string: JSON's escapes are TOML's too, but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
