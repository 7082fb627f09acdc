"""Inputs of classical models: real numbers made of features, one file for each kind."""

from qlab.inputs.base import InputMap
from qlab.inputs.choosing import InputsName, input_map
from qlab.inputs.pauli import PauliExpectations
from qlab.inputs.sites import DEFAULT_SITES, Sites

__all__ = ["DEFAULT_SITES", "InputMap", "InputsName", "PauliExpectations", "Sites", "input_map"]
