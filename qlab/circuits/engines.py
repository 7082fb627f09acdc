"""Which engine evaluates a circuit on which device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from qlab.circuits.blocks import ReducedStates
from qlab.circuits.device_check import check_device
from qlab.circuits.encodings import Encoding
from qlab.circuits.exact import ExactEngine, exact_engine
from qlab.circuits.observables import PauliSum
from qlab.circuits.qnode import QNodeEngine
from qlab.circuits.recording import Recording
from qlab.errors import ConfigError

Device = Literal["lightcone", "default.qubit", "default.mixed", "lightning.qubit", "lightning.gpu"]

Engine = ExactEngine | QNodeEngine


def engine_of(
    device: Device, ansatz: Callable[..., Any], recording: Recording, measured: PauliSum, encoding: Encoding
) -> Engine:
    """The engine for a circuit.

    Args:
        device: "lightcone", or a device of PennyLane.
        ansatz: queues the circuit.
        recording: what it queued.
        measured: the observable.
        encoding: of features.

    Raises:
        ConfigError: the circuit is out of reach, or PennyLane computes it wrongly on this device.
    """
    if device == "lightcone":
        return exact_engine(recording, measured, encoding)
    if isinstance(encoding, ReducedStates):
        raise ConfigError(
            f'device = "{device}" simulates states of the whole register, and the task hands over reduced density '
            f'matrices of {encoding.block.words}: there are no amplitudes. Use device = "lightcone".'
        )
    check_device(recording, device, measured, encoding)
    return QNodeEngine(ansatz, recording, device, measured, encoding)
