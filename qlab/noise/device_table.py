"""Tables of experiment files that name a device: ``noise = { device = "kingston", qubits = [3, 4, 5] }``."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from qlab.errors import ConfigError, unknown
from qlab.fields import show
from qlab.noise.device import DeviceNoise

_KEYS = ("device", "qubits")


def tables_of_devices(value: Any) -> bool:
    """Whether a model's noise is a device's, or a sweep in which there are such."""
    items = value if isinstance(value, list) else [value]
    return any(isinstance(item, dict) and "device" in item and "channel" not in item for item in items)


def device_noises(table: Mapping[str, Any], folder: Path | None, where: str) -> Iterator[DeviceNoise]:
    """The noise that a table means, for every combination of swept values.

    Args:
        table: ``device``, a file or the name of a device, or a list of them; ``qubits``, perhaps, a list of the
            device's, or a list of such lists.
        folder: where relative paths start.
        where: names the table in messages.

    Raises:
        ConfigError: another key, or a device or a qubit that is not there.
    """
    for key in table:
        if key not in _KEYS:
            raise ConfigError(f"{where}: " + unknown("key of a device's noise", key, _KEYS))
    devices = _swept(table["device"], str)
    if not devices or not all(isinstance(item, str) for item in devices):
        raise ConfigError(
            f"{where}.device: got {show(table['device'])}, accepts a TOML file, or the name of a device. Run "
            "`qlab list devices`."
        )
    qubits = _swept(table.get("qubits", []), list)
    if not all(_whole(item) for item in qubits):
        raise ConfigError(
            f"{where}.qubits: got {show(table['qubits'])}, accepts the device's qubits by wire, such as [3, 4, 5]; to "
            "sweep, a list of such lists."
        )
    for file, chosen in itertools.product(devices, qubits):
        try:
            yield DeviceNoise.read(file, chosen, folder)
        except ConfigError as error:
            raise ConfigError(f"{where}.device: {error}") from None


def _swept(value: Any, kind: type) -> list[Any]:
    """The values of a key: one, or each of a list of several."""
    if kind is list:
        return value if isinstance(value, list) and value and all(isinstance(item, list) for item in value) else [value]
    return value if isinstance(value, list) else [value]


def _whole(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, int) and not isinstance(item, bool) and item >= 0 for item in value
    )
