"""Noise of quantum circuits: channels, and where they act. One file per kind of error."""

from qlab.noise.base import Channel
from qlab.noise.damping import AmplitudeDamping, GeneralizedAmplitudeDamping, PhaseDamping
from qlab.noise.device import DeviceNoise
from qlab.noise.kraus import QubitChannel
from qlab.noise.pauli_errors import BitFlip, DepolarizingChannel, PauliError, PhaseFlip, TwoQubitDepolarizing
from qlab.noise.readout import ReadoutError
from qlab.noise.relaxation import ResetError, ThermalRelaxationError

__all__ = [
    "AmplitudeDamping",
    "BitFlip",
    "Channel",
    "DepolarizingChannel",
    "DeviceNoise",
    "GeneralizedAmplitudeDamping",
    "PauliError",
    "PhaseDamping",
    "PhaseFlip",
    "QubitChannel",
    "ReadoutError",
    "ResetError",
    "ThermalRelaxationError",
    "TwoQubitDepolarizing",
]
