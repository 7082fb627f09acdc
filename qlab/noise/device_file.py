"""Files with a device's numbers: TOML, found by path or by the name of one that comes with qlab."""

from __future__ import annotations

import datetime
import itertools
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from qlab.errors import ConfigError, nearest, unknown
from qlab.fields import show
from qlab.noise.device_data import (
    ONE_QUBIT,
    QUBIT_NUMBERS,
    TWO_QUBIT,
    DeviceData,
    NativeGate,
    Pair,
    Qubit,
    pair_name,
    pair_of,
)
from qlab.textfile import read_text

_SNAPSHOTS = Path(__file__).parent / "snapshots"

_KEYS = ("name", "date", "source", "licence", "chain", "gates", "qubits", "pairs")
_GATE_KEYS = ("error", "time_ns")
_PAIR = re.compile(r"(\d+)-(\d+)")


def snapshots() -> dict[str, Path]:
    """The devices that come with qlab, by name."""
    return {file.stem: file for file in sorted(_SNAPSHOTS.glob("*.toml"))}


def device_path(given: str, folder: Path | None = None) -> Path:
    """The file that is meant: a path, or the name of a device that comes with qlab.

    Args:
        given: a path from ``folder``, whose suffix .toml may be left out; or a name that `qlab list devices` prints.
        folder: where relative paths start; by default the current folder.

    Raises:
        ConfigError: there is none.
    """
    path = (folder or Path()) / Path(given).expanduser() if given.startswith("~") else (folder or Path()) / given
    suffixed = path.with_name(f"{path.name}.toml") if path.name else path
    shipped = snapshots()
    for found in (path, suffixed, shipped.get(given)):
        if found is not None and found.is_file():
            return found
    if path.is_dir():
        raise ConfigError(f"got {show(given)}, which is a folder; accepts a file.")
    raise ConfigError(
        f"got {show(given)}, and there is no file {path}.{nearest(given, shipped)} Accepts a TOML file, or a device "
        f"that comes with qlab: {', '.join(shipped)}."
    )


def read_device(path: Path) -> DeviceData:
    """A device's numbers.

    Raises:
        ConfigError: it cannot be read, is not TOML, or does not say what a device's file says: names file and key.
    """
    try:
        table = tomllib.loads(read_text(path))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: is not TOML: {error}.") from None
    try:
        return _device(table)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _device(table: Mapping[str, Any]) -> DeviceData:
    _known("", table, _KEYS)
    qubits = {_qubit_number(name): _qubit(name, _table(f"qubits.{name}", own)) for name, own in _part(table, "qubits")}
    pairs: dict[Pair, Mapping[str, NativeGate]] = {}
    for name, own in _part(table, "pairs"):
        pair = _pair(name, qubits)
        if pair in pairs:
            raise ConfigError(f"pairs.{name}: stands there twice, as pairs.{pair_name(pair)} too; accepts it once.")
        pairs[pair] = _native_gates(f"pairs.{name}", _table(f"pairs.{name}", own))
    chain = table.get("chain", sorted(qubits)[:1])
    if not isinstance(chain, list) or not chain or not all(_is_integer(item) for item in chain):
        raise ConfigError(f"chain: got {show(chain)}, accepts a list of qubits.")
    check_chosen("chain", chain, qubits)
    for one, other in itertools.pairwise(chain):
        if pair_of(one, other) not in pairs:
            raise ConfigError(
                f"chain: got {one} beside {other}, and there is no pairs.{pair_name(pair_of(one, other))}; accepts "
                "neighbouring qubits."
            )
    return DeviceData(
        name=_name(table),
        date=_date(table.get("date")),
        source=_text(table, "source"),
        licence=_text(table, "licence", ""),
        chain=tuple(chain),
        gates=_gates(table.get("gates"), qubits, pairs),
        qubits=qubits,
        pairs=pairs,
    )


def check_chosen(where: str, chosen: Iterable[int], qubits: Mapping[int, Qubit]) -> None:
    """Whether these are qubits of a device, each once.

    Raises:
        ConfigError: they are not.
    """
    seen: set[int] = set()
    for number in chosen:
        if number not in qubits:
            raise ConfigError(f"{where}: got {number}, accepts qubits of the device: {_listed(sorted(qubits))}.")
        if number in seen:
            raise ConfigError(f"{where}: got {number} twice, accepts each qubit once.")
        seen.add(number)


def _gates(given: Any, qubits: Mapping[int, Qubit], pairs: Mapping[Pair, Any]) -> dict[str, tuple[str, ...]]:
    on_one = {gate for qubit in qubits.values() for gate in qubit.gates}
    on_two = {gate for gates in pairs.values() for gate in gates}
    if both := on_one & on_two:
        raise ConfigError(f"pairs: got the gate {min(both)}, which qubits have too; accepts another name for one.")
    if given is None:
        raise ConfigError(f"gates: missing; accepts a table with {ONE_QUBIT} and {TWO_QUBIT}: lists of native gates.")
    table = _table("gates", given)
    for needed in (ONE_QUBIT, TWO_QUBIT):
        if needed not in table:
            what = "one wire" if needed == ONE_QUBIT else "two wires"
            raise ConfigError(
                f"gates.{needed}: missing; accepts the native gates that a gate on {what} takes, such as "
                f"{show(sorted(on_one if needed == ONE_QUBIT else on_two)[:1])}."
            )
    found = {}
    for name, own in table.items():
        if not isinstance(own, list):
            raise ConfigError(f"gates.{name}: got {show(own)}, accepts a list of native gates.")
        for gate in own:
            if gate not in (accepted := on_one if name == ONE_QUBIT else on_one | on_two):
                hint = nearest(gate, accepted) if isinstance(gate, str) else ""
                raise ConfigError(
                    f"gates.{name}: got {show(gate)}, accepts native gates of the file: "
                    f"{', '.join(sorted(accepted)) or 'it has none'}.{hint}"
                )
        found[name] = tuple(own)
    return found


def _qubit(name: str, table: Mapping[str, Any]) -> Qubit:
    where = f"qubits.{name}"
    for key in QUBIT_NUMBERS:
        if key not in table:
            given = [other for other in table if not isinstance(table[other], dict) and other not in QUBIT_NUMBERS]
            hint = f" (It has {', '.join(given)}; units are part of the names.)" if given else ""
            raise ConfigError(f"{where}.{key}: missing; every qubit has {', '.join(QUBIT_NUMBERS)}.{hint}")
    t1, t2 = (_number(f"{where}.{key}", table[key], above=True) for key in ("t1_us", "t2_us"))
    if t2 > 2.0 * t1:
        raise ConfigError(f"{where}.t2_us: got {t2:g}, accepts at most 2 t1_us = {2.0 * t1:g}.")
    up, down = (_number(f"{where}.{key}", table[key], most=1.0) for key in ("p1_given_0", "p0_given_1"))
    rest = {key: own for key, own in table.items() if key not in QUBIT_NUMBERS}
    return Qubit(t1, t2, up, down, _native_gates(where, rest, QUBIT_NUMBERS))


def _native_gates(where: str, table: Mapping[str, Any], keys: tuple[str, ...] = ()) -> dict[str, NativeGate]:
    found = {}
    for name, own in table.items():
        at = f"{where}.{name}"
        if not isinstance(own, dict):
            hint = nearest(name, keys) if keys else ""
            raise ConfigError(
                f"{at}: got {show(own)}, accepts {'one of ' + ', '.join(keys) + ', or ' if keys else ''}a native gate: "
                f"{{ error = 0.001, time_ns = 50 }}.{hint}"
            )
        _known(f"{at}: ", own, _GATE_KEYS)
        for key in _GATE_KEYS:
            if key not in own:
                raise ConfigError(f"{at}.{key}: missing; accepts {{ error = 0.001, time_ns = 50 }}.")
        found[name] = NativeGate(
            _number(f"{at}.error", own["error"], most=1.0), _number(f"{at}.time_ns", own["time_ns"])
        )
    return found


def _qubit_number(name: str) -> int:
    if not re.fullmatch(r"0|[1-9]\d{0,8}", name):
        raise ConfigError(f"qubits.{name}: accepts the number of a qubit, such as qubits.0.")
    return int(name)


def _pair(name: str, qubits: Mapping[int, Qubit]) -> Pair:
    matched = _PAIR.fullmatch(name)
    if matched is None or int(matched[1]) == int(matched[2]):
        raise ConfigError(f"pairs.{name}: accepts the numbers of two qubits, such as pairs.0-1.")
    for number in map(int, matched.groups()):
        if number not in qubits:
            raise ConfigError(f"pairs.{name}: there is no qubits.{number}; accepts pairs of {_listed(sorted(qubits))}.")
    return pair_of(int(matched[1]), int(matched[2]))


def _part(table: Mapping[str, Any], key: str) -> Iterable[tuple[str, Any]]:
    if key not in table:
        raise ConfigError(
            f"{key}: missing; accepts a table for each of them, such as [{key}.0{'-1' * (key[0] == 'p')}]."
        )
    return _table(key, table[key]).items()


def _table(where: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: got {show(value)}, accepts a table.")
    return value


def _known(where: str, table: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    for key in table:
        if key not in keys:
            raise ConfigError(where + unknown("key", key, keys))


def _number(where: str, value: Any, *, above: bool = False, most: float | None = None) -> float:
    words = "a number above 0" if above else "a number of at least 0" if most is None else f"a number in [0, {most:g}]"
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not good or value < 0 or (above and value == 0) or (most is not None and value > most):
        raise ConfigError(f"{where}: got {show(value)}, accepts {words}.")
    return float(value)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _text(table: Mapping[str, Any], key: str, default: str | None = None) -> str:
    value = table.get(key, default)
    if not isinstance(value, str) or (default is None and not value.strip()):
        raise ConfigError(f"{key}: got {'nothing' if value is None else show(value)}, accepts a string.")
    return value


def _name(table: Mapping[str, Any]) -> str:
    """The device's name, which tables, figures and the terminal show as it is: no line breaks or escape sequences."""
    name = _text(table, "name")
    if not name.isprintable():
        escaped = name.encode("unicode_escape").decode()
        raise ConfigError(f"name: got {show(escaped)}, accepts one line of printable characters.")
    return name


def _date(value: Any) -> str:
    if isinstance(value, datetime.date):  # a time with a date is one, too
        return value.isoformat()
    if isinstance(value, str):
        try:
            datetime.datetime.fromisoformat(value)
        except ValueError:
            pass
        else:
            return value
    given = "nothing" if value is None else show(value)
    raise ConfigError(f"date: got {given}, accepts the date of the calibration, such as 2026-04-15T09:15:15+02:00.")


def _listed(numbers: list[int]) -> str:
    """Numbers in short: "0 to 15", or "0, 2, 3"."""
    if len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, numbers)) or "none, it has no qubits"
