"""Inputs as experiment files name them: the fields ``inputs`` and ``sites`` of a model."""

from __future__ import annotations

from typing import Literal, get_args

from qlab.errors import ConfigError
from qlab.fields import show
from qlab.inputs.amplitudes import AmplitudeParts
from qlab.inputs.base import InputMap
from qlab.inputs.density import ReducedDensity
from qlab.inputs.modulus import Modulus
from qlab.inputs.pauli import PauliExpectations
from qlab.inputs.sites import DEFAULT_SITES, Sites

InputsName = Literal["amplitudes", "pauli", "density", "modulus"]


def input_map(owner: str, inputs: InputsName, sites: Sites) -> InputMap:
    """What makes a model's inputs of features.

    Args:
        owner: the name of the model's class, for messages.
        inputs: which kind.
        sites: of which sites of a chain, for kinds that are of some.

    Raises:
        ConfigError: there is no such kind, sites are given for one that has none, or they cannot be.
    """
    if inputs == "pauli":
        return PauliExpectations(owner, sites)
    if inputs == "density":
        return ReducedDensity(owner, sites)
    if inputs not in get_args(InputsName):
        listed = ", ".join(map(show, get_args(InputsName)))
        raise ConfigError(f"{owner}: inputs: got {show(inputs)}, accepts one of {listed}.")
    if sites != DEFAULT_SITES:
        raise ConfigError(
            f'{owner}: sites: got {show(sites)} for inputs = "{inputs}", which are of no sites; leave it out, or take '
            'inputs = "pauli" or "density".'
        )
    return Modulus(owner) if inputs == "modulus" else AmplitudeParts(owner)
