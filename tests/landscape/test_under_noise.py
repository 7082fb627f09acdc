"""Trained weights under other noise: against PennyLane's density matrices, binomial outcomes, and refusals."""

from __future__ import annotations

import math

import numpy as np
import pennylane as qml
import pytest
import torch

from qlab.errors import ConfigError
from qlab.landscape import Landscape, UnderNoise
from qlab.models import MLP, PennyLaneQNN, RandomQNN
from qlab.noise import AmplitudeDamping, DepolarizingChannel, ReadoutError

WIRES, DEPTH, SCALE = 3, 2, 5.0


def logits_by_hand(rotations, couplings, states, channel, flip=0.0):
    """Rows of RX, RY, RX and RZZ on neighbours, a channel after each on each of its wires; readout errors shrink Z."""

    @qml.qnode(qml.device("default.mixed", wires=WIRES))
    def z(state):
        qml.StatePrep(state, wires=range(WIRES), normalize=True)
        for row in range(DEPTH):
            for gate, angles in zip((qml.RX, qml.RY, qml.RX), rotations[row], strict=True):
                for wire in range(WIRES):
                    gate(float(angles[wire]), wires=wire)
                    channel(wire)
            for first in range(WIRES - 1):
                qml.IsingZZ(float(couplings[row, first]), wires=[first, first + 1])
                channel(first)
                channel(first + 1)
        return qml.expval(qml.PauliZ(WIRES - 1))

    return SCALE * (1.0 - 2.0 * flip) * np.array([float(z(state)) for state in states.numpy()])


def loss_and_accuracy(z, y):
    p = 1.0 / (1.0 + np.exp(-z))
    return -np.mean(np.where(y == 1, np.log(p), np.log(1.0 - p))), np.mean((z > 0) == (y == 1))


@pytest.fixture(scope="module")
def split(toys):
    return toys.states(12, WIRES, seed=3)


def circuit(toys, split, **fields):
    return toys.build(PennyLaneQNN(depth=DEPTH, **fields), split, seed=4)


@pytest.mark.parametrize(
    ("trained", "noise", "channel", "flip"),
    [
        ((), (DepolarizingChannel(p=0.1),), lambda wire: qml.DepolarizingChannel(0.1, wires=wire), 0.0),
        ((AmplitudeDamping(gamma=0.2),), (), lambda wire: None, 0.0),
        (
            (DepolarizingChannel(p=0.3), ReadoutError(p=0.2)),
            (AmplitudeDamping(gamma=0.15), ReadoutError(p=0.05)),
            lambda wire: qml.AmplitudeDamping(0.15, wires=wire),
            0.05,
        ),
    ],
    ids=["trained without", "evaluated without", "another channel"],
)
def test_it_is_the_same_circuit_with_other_noise(toys, split, trained, noise, channel, flip):
    model = circuit(toys, split, noise=trained)
    found = Landscape(model, split).measure(UnderNoise(samples="train", noise=noise)).scalars
    weights = {name: part.detach().numpy() for name, part in model.named_parameters()}
    z = logits_by_hand(weights["rotations"], weights["couplings"], split.x, channel, flip)
    loss, accuracy = loss_and_accuracy(z, split.y.numpy())
    assert found["landscape_loss"] == pytest.approx(loss, abs=1e-10)
    assert found["landscape_accuracy"] == accuracy
    with torch.no_grad():
        own = loss_and_accuracy(model(model.prepare(split.x)).numpy(), split.y.numpy())
    assert found["loss_change"] == pytest.approx(loss - own[0], abs=1e-10)
    assert found["accuracy_change"] == pytest.approx(accuracy - own[1])
    assert abs(found["loss_change"]) > 1e-3
    assert ("noise_attenuation" in found) == bool(noise)


def test_the_attenuation_is_that_of_the_new_noise(toys, split):
    model = circuit(toys, split, noise=(DepolarizingChannel(p=0.3),))
    probe = UnderNoise(samples="train", noise=(DepolarizingChannel(p=0.06, after="readout"),))
    assert Landscape(model, split).measure(probe).scalars["noise_attenuation"] == pytest.approx(1.0 - 4.0 * 0.06 / 3.0)


def test_with_the_noise_that_was_trained_with_nothing_changes(toys, split):
    noise = (DepolarizingChannel(p=0.1), ReadoutError(p=0.02))
    found = Landscape(circuit(toys, split, noise=noise), split).measure(UnderNoise(samples="train", noise=noise))
    assert (found.scalars["loss_change"], found.scalars["accuracy_change"]) == (0.0, 0.0)


def test_at_another_point_it_is_that_points_circuit(toys, split):
    one, other = circuit(toys, split), toys.build(PennyLaneQNN(depth=DEPTH), split, seed=9)
    probe = {"samples": "train", "noise": (DepolarizingChannel(p=0.1),)}
    found = Landscape(one, split, points={"oracle": other}).measure(UnderNoise(at="oracle", **probe))
    assert found.scalars == Landscape(other, split).measure(UnderNoise(**probe)).scalars


def test_a_single_shot_says_yes_or_no_with_the_right_probability(toys, split):
    """Logits are then +5 or -5, so that the loss says how many rows came out against their label."""
    model = circuit(toys, split, dtype="float32")
    exact = Landscape(model, split)
    z = exact.logits(exact.theta).detach()
    right = torch.where(split.y == 1, 0.5 + z / (2.0 * SCALE), 0.5 - z / (2.0 * SCALE))
    draws = 200
    accuracies = []
    for seed in range(draws):
        found = Landscape(model, split, seed=seed).measure(UnderNoise(samples="train", shots=1)).scalars
        wrong = round((1.0 - found["landscape_accuracy"]) * len(split))
        loss = (wrong * math.log1p(math.exp(SCALE)) + (len(split) - wrong) * math.log1p(math.exp(-SCALE))) / len(split)
        assert found["landscape_loss"] == pytest.approx(loss, abs=1e-6)
        accuracies.append(found["landscape_accuracy"])
    deviation = float((right * (1.0 - right)).sum().sqrt()) / len(split) / math.sqrt(draws)
    assert abs(np.mean(accuracies) - float(right.mean())) < 4.0 * deviation
    assert len(set(accuracies)) > 3


def test_shots_are_drawn_with_the_seed_and_leave_the_model_as_it_was(toys, split):
    model = circuit(toys, split, shots=7, gradient="parameter-shift")
    landscape = Landscape(model, split, seed=5)
    before = landscape.logits(landscape.theta)
    one, again = (landscape.measure(UnderNoise(samples="train", shots=50)).scalars for _ in range(2))
    assert one == again
    assert one != Landscape(model, split, seed=6).measure(UnderNoise(samples="train", shots=50)).scalars
    assert torch.equal(before, landscape.logits(landscape.theta))
    exact = landscape.measure(UnderNoise(samples="train")).scalars
    assert (exact["loss_change"], exact["accuracy_change"]) == (0.0, 0.0)


@pytest.mark.parametrize("model", [MLP(hidden=(4,)), RandomQNN(depth=1)], ids=["network", "random circuit"])
def test_models_without_noise_are_refused_by_name(toys, split, model):
    built = toys.build(model, split)
    with pytest.raises(ConfigError, match=f"UnderNoise: {type(model).__name__} has no noise to replace"):
        Landscape(built, split).measure(UnderNoise(samples="train"))


def test_labels_say_what_is_not_as_usual():
    assert UnderNoise().label == "without noise"
    noise = (DepolarizingChannel(p=0.1, after="IsingZZ"), ReadoutError(p=0.02))
    assert UnderNoise(noise=noise).label == 'DepolarizingChannel p=0.1 after="IsingZZ", ReadoutError p=0.02'
    assert UnderNoise(shots=100).label == "without noise, 100 shots"
