"""Inputs that there are not: named with the key, what was given and what is accepted."""

from __future__ import annotations

import re

import pytest
import torch

from qlab import MLP, Features, PauliLinear
from qlab.circuits import Recording, light_cone
from qlab.errors import ConfigError, DataError
from qlab.inputs import input_map
from qlab.models import PennyLaneQNN
from qlab.registry import find


def features(dimension=64, is_complex=True):
    return Features(dimension, is_complex, torch.ones(dimension, dtype=torch.bool))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sites": 2}, r'sites: got 2 for inputs = "amplitudes", which are of no sites; .*"pauli" or "density"'),
        ({"inputs": "modulus", "sites": "pairs"}, 'sites: got "pairs" for inputs = "modulus"'),
        ({"inputs": "pauli", "sites": 8}, r"sites: got 8, .*4\^8 = 65,536 Pauli strings; accepts at most 7 sites"),
        ({"inputs": "pauli", "sites": 1000}, r"4\^1000 Pauli strings"),
        ({"inputs": "density", "sites": list(range(9))}, r"4\^9 = 262,144"),
        ({"inputs": "pauli", "sites": [3, 1, 3]}, r"sites: got \[3, 1, 3\], accepts each site once"),
        ({"inputs": "density", "sites": "pairs"}, 'sites: got "pairs", which goes with inputs = "pauli"'),
        ({"inputs": "pauli", "sites": 0}, "sites: got 0, accepts an integer of at least 1 or a list"),
        ({"inputs": "pauli", "sites": "ring-9"}, 'sites: got "ring-9".*Did you mean "ring-'),
        ({"inputs": "paulis"}, 'inputs: got "paulis".*Did you mean "pauli"'),
    ],
)
@pytest.mark.parametrize("name", ["MLP", "sklearn.svm:SVC"])
def test_fields_that_do_not_fit_together_are_refused(name, fields, message):
    cls = MLP if name == "MLP" else find("model", name)
    with pytest.raises(ConfigError) as caught:
        cls(**fields)
    assert re.search(rf"^{cls.__name__}: .*{message}", str(caught.value)), str(caught.value)


@pytest.mark.parametrize(
    ("inputs", "sites", "dimension", "message"),
    [
        ("pauli", 7, 64, "sites: got 7, the last 7 sites, and the chain has 6; accepts 1 to 6"),
        ("pauli", (0, 6), 64, r"sites: got \[0, 6\], and the chain has 6 sites; accepts sites from 0 to 5"),
        ("density", (-7,), 64, "or from -6 to -1"),
        ("density", (5, -1), 64, "accepts each site of a chain of 6 once"),
        ("density", "ring-4", 64, 'got "ring-4", a light cone of 7 sites, and the chain has 6'),
        ("pauli", "pairs", 30, r'inputs: got "pauli" for features of 30 numbers, .*2\^4 = 16 or 2\^5 = 32'),
        ("density", 2, 1, 'inputs: got "density" for features of 1 number'),
    ],
)
def test_features_without_such_inputs_are_refused_when_a_model_is_built(inputs, sites, dimension, message):
    with pytest.raises(DataError, match="^MLP: .*" + message):
        MLP(inputs=inputs, sites=sites).build(features(dimension))
    if inputs == "pauli":
        with pytest.raises(DataError, match="^PauliLinear: .*" + message):
            PauliLinear(sites=sites).build(features(dimension))


def test_a_bound_takes_one_set_of_sites():
    with pytest.raises(ConfigError, match='bound: got "operator" for sites = "pairs"'):
        PauliLinear(sites="pairs", bound="operator")


@pytest.mark.parametrize("model", [MLP(inputs="pauli", sites=2), MLP(inputs="density", sites=2), PauliLinear(sites=2)])
def test_states_of_another_chain_are_refused(model):
    with pytest.raises(DataError, match=r"built for .*64 amplitudes, got 16; build it for this data set"):
        model.build(features(64)).prepare(torch.ones(1, 16, dtype=torch.complex128))


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_the_cone_of_a_ring_is_that_of_the_circuit(depth):
    circuit = PennyLaneQNN(depth=depth, entangler="ring").build(features(2**8))
    recording = Recording(circuit.ansatz, circuit.weight_shapes(), 8)
    cone = light_cone(recording.gates, 7)
    assert input_map("M", "pauli", f"ring-{depth}").wires(2**8) == cone.wires
