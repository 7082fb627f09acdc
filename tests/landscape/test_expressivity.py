"""Observables that circuits reach: against second moments of Pauli strings, and ranks of dense operators."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pennylane as qml
import pytest
import torch

from qlab.errors import ConfigError
from qlab.landscape import ExpressivityProbe, Landscape
from qlab.models import MLP, PennyLaneQNN, RandomQNN


def second_moments(depth, wires, pairs):
    """E[c_P^2] over independent uniform angles, exactly.

    A rotation about a Pauli word G leaves strings that commute with G, and turns one that does not, P, and iGP into
    each other: with a uniform angle both have the mean of their squares, and no products of coefficients remain.
    """
    products = {("X", "Y"): "Z", ("Y", "Z"): "X", ("Z", "X"): "Y"}

    def times(one, other):
        if "I" in (one, other) or one == other:
            return "I" if one == other else one if other == "I" else other
        return products.get((one, other)) or products[other, one]

    def anticommute(word, other):
        return sum("I" not in pair and pair[0] != pair[1] for pair in zip(word, other, strict=True)) % 2 == 1

    def word(letters):
        return "".join(letters.get(wire, "I") for wire in range(wires))

    gates = []
    for _ in range(depth):
        gates += [word({wire: letter}) for letter in "XYX" for wire in range(wires)]
        gates += [word({first: "Z", second: "Z"}) for first, second in pairs]
    moments = {word({wires - 1: "Z"}): Fraction(1)}
    for gate in reversed(gates):
        after = {}
        for string, moment in moments.items():
            moved = "".join(map(times, gate, string))
            for to in (string, moved) if anticommute(gate, string) else (string, string):
                after[to] = after.get(to, 0) + moment / 2
        moments = after
    return moments


@pytest.mark.parametrize(("depth", "wires", "entangler"), [(1, 2, "chain"), (3, 3, "chain"), (2, 4, "ring")])
def test_pauli_strings_against_exact_moments(toys, depth, wires, entangler):
    pairs = [(w, w + 1) for w in range(wires - 1)] + ([(wires - 1, 0)] if entangler == "ring" else [])
    moments = second_moments(depth, wires, pairs)
    split = toys.states(4, wires, seed=0)
    circuit = toys.build(PennyLaneQNN(depth=depth, entangler=entangler), split, seed=1)
    result = ExpressivityProbe(draws=4000).measure(Landscape(circuit, split))
    assert result.scalars["pauli_strings"] == len(moments)
    exact = 1.0 / sum(float(moment) ** 2 for moment in moments.values())
    assert result.scalars["effective_pauli_strings"] == pytest.approx(exact, rel=0.1)
    on = circuit.cone.wires
    for string, found in zip(itertools.product("IXYZ", repeat=len(on)), result.arrays["mean_squares"], strict=True):
        letters = dict(zip(on, string, strict=True))
        word = "".join(letters.get(wire, "I") for wire in range(wires))
        assert found == pytest.approx(float(moments.get(word, 0.0)), abs=0.03), word


def test_the_rank_is_that_of_dense_operators(toys):
    """Central differences of U^dagger Z U, matrices of PennyLane's, on the whole register."""
    wires, depth = 3, 2
    split = toys.states(4, wires, seed=0)
    circuit = toys.build(PennyLaneQNN(depth=depth), split, seed=1)
    result = ExpressivityProbe(draws=3).measure(Landscape(circuit, split))

    def operator(flat):
        rotations, couplings = flat[: depth * 3 * wires].reshape(depth, 3, wires), flat[depth * 3 * wires :]

        def queue():
            at = iter(couplings)
            for row in range(depth):
                for gate, angles in zip((qml.RX, qml.RY, qml.RX), rotations[row], strict=True):
                    for wire in range(wires):
                        gate(float(angles[wire]), wires=wire)
                for first in range(wires - 1):
                    qml.IsingZZ(float(next(at)), wires=[first, first + 1])

        u = qml.matrix(queue, wire_order=range(wires))()
        z = qml.matrix(qml.PauliZ(wires - 1), wire_order=range(wires))
        return (u.conj().T @ z @ u).reshape(-1)

    size = circuit.n_parameters()
    flat = np.random.default_rng(0).uniform(-np.pi, np.pi, size)
    unit = 1e-4 * np.eye(size)
    slopes = np.stack([(operator(flat + step) - operator(flat - step)) / 2e-4 for step in unit])
    singular = np.linalg.svd(np.concatenate([slopes.real, slopes.imag], axis=1), compute_uv=False)
    rank = int((singular > 1e-5 * singular[0]).sum())
    assert result.scalars["jacobian_rank"] == rank
    reached = int(circuit.reached_parameters().sum())
    assert result.about["angles"] == reached > rank
    assert result.scalars["jacobian_rank_of_angles"] == pytest.approx(rank / reached)


def test_neither_training_nor_samples_nor_the_readout_matter(toys):
    split = toys.states(6, 3, seed=0)
    probe = ExpressivityProbe(draws=5)
    found = [
        probe.measure(Landscape(toys.build(PennyLaneQNN(depth=2, **fields), split, seed=seed), split)).scalars
        for seed, fields in [(1, {}), (2, {"scale": 2.0}), (3, {"readout": "affine"})]
    ]
    assert found[1] == pytest.approx(found[0])
    assert found[2] == {**found[0], "effective_pauli_strings": found[2]["effective_pauli_strings"]}


def test_what_evolves_no_single_observable_is_refused_by_name(toys):
    split = toys.states(6, 3, seed=0)
    probe = ExpressivityProbe()
    for model in (MLP(hidden=(2,)), RandomQNN(depth=1)):
        assert "has no trained angles" in probe.unsuited(model)
    assert probe.unsuited(PennyLaneQNN()) == ""
    several = toys.build(PennyLaneQNN(depth=1, observable="mean_Z"), split, seed=0)
    with pytest.raises(ConfigError, match="of which one observable is evolved"):
        probe.check_built(several)
    with pytest.raises(ConfigError, match="of which one observable is evolved"):
        probe.measure(Landscape(several, split))


def test_a_circuit_on_a_device_is_looked_at_on_its_light_cone(toys):
    split = toys.states(4, 3, seed=0)
    circuit = toys.build(PennyLaneQNN(depth=2, device="default.qubit"), split, seed=1)
    ExpressivityProbe().check_built(circuit)
    found = ExpressivityProbe(draws=3).measure(Landscape(circuit, split)).scalars
    assert torch.tensor(list(found.values())).isfinite().all()
