"""Circuits: the paper's ansatz in PennyLane operations, and the engines that evaluate a recorded circuit."""

from qlab.circuits.angle_states import AngleStatevectorEngine
from qlab.circuits.ansatz import Entangler, bonds, rotation_rows
from qlab.circuits.heisenberg import HeisenbergEngine
from qlab.circuits.lightcone import LightCone, light_cone
from qlab.circuits.recording import Gate, Recording
from qlab.circuits.statevector import StatevectorEngine

__all__ = [
    "AngleStatevectorEngine",
    "Entangler",
    "Gate",
    "HeisenbergEngine",
    "LightCone",
    "Recording",
    "StatevectorEngine",
    "bonds",
    "light_cone",
    "rotation_rows",
]
