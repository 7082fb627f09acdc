"""Health: the first of diverged, collapsed, unconverged that applies, otherwise healthy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from qlab.models import MLP, Features, PennyLaneQNN
from qlab.training import Trainer
from qlab.training.health import health_of

SPREAD = torch.tensor([-1.0, 0.5, 2.0], dtype=torch.float64)
FLAT = np.full(100, 0.3)


def falling(per_epoch, epochs=100):
    return 5.0 - per_epoch * np.arange(epochs)


@pytest.mark.parametrize(
    ("losses", "logits", "expected"),
    [
        pytest.param(FLAT, SPREAD, "healthy", id="flat loss"),
        pytest.param(falling(0.0009), SPREAD, "healthy", id="falls by 0.009 in a tenth"),
        pytest.param(falling(0.0011), SPREAD, "unconverged", id="falls by 0.011 in a tenth"),
        pytest.param(falling(-0.1), SPREAD, "healthy", id="rising loss"),
        pytest.param(np.r_[falling(0.01, 80), np.full(20, 4.2)], SPREAD, "healthy", id="fell only early on"),
        pytest.param(falling(0.5, 9), SPREAD, "healthy", id="too few epochs to tell"),
        pytest.param(falling(0.5, 10), SPREAD, "unconverged", id="ten epochs are enough"),
        pytest.param(FLAT, SPREAD * 0 + 0.2, "collapsed", id="constant output"),
        pytest.param(FLAT, SPREAD * 0, "collapsed", id="zero output"),
        pytest.param(FLAT, SPREAD * 1e-7, "collapsed", id="differences below rounding"),
        pytest.param(FLAT, 1e6 + SPREAD * 1e-2, "collapsed", id="relatively constant"),
        pytest.param(FLAT, SPREAD * 1e-5, "healthy", id="small but different"),
        pytest.param(falling(0.1), SPREAD * 0, "collapsed", id="collapsed before unconverged"),
        pytest.param(FLAT, torch.tensor([0.0, math.nan]), "diverged", id="NaN logit"),
        pytest.param(FLAT, torch.tensor([0.0, math.inf]), "diverged", id="infinite logit"),
        pytest.param(np.r_[FLAT, np.nan], SPREAD, "diverged", id="NaN loss at the end"),
        pytest.param(np.r_[np.inf, FLAT], SPREAD, "diverged", id="infinite loss at the start"),
        pytest.param(np.r_[np.nan, FLAT], SPREAD * 0, "diverged", id="diverged before collapsed"),
    ],
)
def test_health_of_losses_and_logits(losses, logits, expected):
    assert health_of(losses, logits) == expected


def test_dead_units_are_a_collapse(small_data):
    """All ReLU units of one layer below zero on every sample: only the last bias is left."""
    model = MLP(hidden=(8, 4)).build(Features.of(small_data))
    model.reset_parameters(torch.Generator().manual_seed(0))
    with torch.no_grad():
        alive = model(model.prepare(small_data.train.x))
        model.biases[1].fill_(-100.0)
        dead = model(model.prepare(small_data.train.x))
    assert health_of(FLAT, alive) == "healthy"
    assert health_of(FLAT, dead) == "collapsed"


def test_a_huge_learning_rate_diverges(small_task):
    trained = Trainer(epochs=3, learning_rate=1e30).train(MLP(hidden=(4, 4)), small_task, seeds=(0, 1))
    assert trained.health == ("diverged", "diverged")


def test_a_short_training_is_unconverged_and_a_long_one_healthy(small_task):
    short = Trainer(epochs=20, learning_rate=0.03).train(PennyLaneQNN(depth=2), small_task)
    long = Trainer(epochs=150, learning_rate=0.03).train(PennyLaneQNN(depth=2), small_task)
    assert short.health == ("unconverged",)
    assert long.health == ("healthy",)
