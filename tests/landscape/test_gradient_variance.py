"""Variances of gradients over random points: against PennyLane's dense gradients on an exact quadrature."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pennylane as qml
import pytest
import torch
from scipy import stats

from qlab.errors import ConfigError
from qlab.landscape import GradientVarianceProbe, Landscape
from qlab.models import MLP, PennyLaneQNN, RandomQNN

SCALE = 5.0


def dense_gradients(states, angles):
    """d<Z>/d(angle) of RX, RY, RX on each of two wires (the RZZ before the readout drops), ``[points, N, 6]``."""

    @qml.qnode(qml.device("default.qubit"), interface="torch", diff_method="backprop")
    def z(points, state):
        qml.StatePrep(state, wires=[0, 1], normalize=True)
        for gate, row in zip((qml.RX, qml.RY, qml.RX), range(3), strict=True):
            for wire in range(2):
                gate(points[:, 2 * row + wire], wires=wire)
        qml.IsingZZ(0.7, wires=[0, 1])
        return qml.expval(qml.PauliZ(1))

    found = []
    for state in states:
        points = angles.clone().requires_grad_()
        [slope] = torch.autograd.grad(z(points, state).sum(), points)
        found.append(slope)
    return torch.stack(found, dim=1)


@pytest.fixture(scope="module")
def split(toys):
    return toys.states(4, 2, seed=3)


def test_variances_over_uniform_angles_are_those_of_dense_gradients(toys, split):
    # A gradient has frequencies 0 and 1 in each angle, its square up to 2: three angles each make the mean exact.
    thirds = torch.arange(3, dtype=torch.float64) * 2.0 * math.pi / 3.0
    grid = torch.tensor(list(itertools.product(thirds.tolist(), repeat=3)), dtype=torch.float64)
    angles = torch.zeros(len(grid), 6, dtype=torch.float64)
    angles[:, 1::2] = grid  # <Z_1> does not depend on wire 0
    exact = SCALE**2 * dense_gradients(split.x, angles).square().mean(0).mean(0)
    assert float(exact[0::2].abs().max()) < 1e-20

    circuit = toys.build(PennyLaneQNN(depth=1), split, seed=4)
    result = GradientVarianceProbe(draw="uniform", draws=2000).measure(Landscape(circuit, split))
    reached = circuit.reached_parameters()
    assert int(reached.sum()) == result.about["parameters_reached"] == 3
    assert np.array_equal(result.arrays["logit_gradient_variance"] > 0, reached.numpy())
    for name in ("logit_gradient_variance", "logit_gradient_square"):
        error = result.scalars[f"{name}_error"]
        assert 0 < error < 0.1 * result.scalars[name]
        assert abs(result.scalars[name] - float(exact[1::2].mean())) < 4.0 * error
        np.testing.assert_allclose(result.arrays[name].reshape(-1)[[1, 3, 5]], exact[1::2], rtol=0.15)


def test_moments_are_those_of_pytorch_gradients_at_the_points(toys, split):
    """Of a network near its weights, one gradient after the other; errors from ten parts of two points."""
    network = toys.build(MLP(hidden=(3,)), split, seed=1)
    landscape = Landscape(network, split, seed=5)
    probe = GradientVarianceProbe(draw="near", spread=0.2, draws=20)
    result = probe.measure(landscape)
    from qlab.landscape.drawn import drawn_points

    points = drawn_points(landscape, "near", 20, 0.2)
    assert float((points - landscape.theta).std()) == pytest.approx(0.2, rel=0.15)
    logits, losses = [], []
    for point in points:
        theta = point.clone().requires_grad_()
        z = landscape.logits(theta)
        logits.append(torch.stack([torch.autograd.grad(one, theta, retain_graph=True)[0] for one in z]))
        losses.append(torch.autograd.grad(landscape.loss(theta), theta)[0])
    logit, loss = torch.stack(logits).reshape(10, 2, len(split), -1), torch.stack(losses).reshape(10, 2, -1)
    wanted = {
        "logit_gradient_variance": logit.var(1).mean((1, 2)),
        "logit_gradient_square": logit.square().mean((1, 2, 3)),
        "loss_gradient_variance": loss.var(1).mean(1),
        "loss_gradient_square": loss.square().mean((1, 2)),
    }
    for name, parts in wanted.items():
        assert result.scalars[name] == pytest.approx(float(parts.mean()), rel=1e-10), name
        assert result.scalars[f"{name}_error"] == pytest.approx(stats.sem(parts.numpy()), rel=1e-8), name


def test_initial_points_are_those_of_the_model(toys, split):
    """Weights of 0.01: the gradient hardly varies, but is not small."""
    circuit = toys.build(PennyLaneQNN(depth=2), split, seed=4)
    found = GradientVarianceProbe(draws=50).measure(Landscape(circuit, split)).scalars
    assert found["logit_gradient_variance"] < 0.01 * found["logit_gradient_square"]
    wide = toys.build(PennyLaneQNN(depth=2, initial_scale=1.0), split, seed=4)
    varied = GradientVarianceProbe(draws=50).measure(Landscape(wide, split)).scalars
    assert varied["logit_gradient_variance"] > 100 * found["logit_gradient_variance"]


def test_a_device_without_vmap_finds_the_same(toys, split):
    circuit = toys.build(PennyLaneQNN(depth=1), split, seed=4)
    slow = Landscape(circuit, split)
    probe = GradientVarianceProbe(draw="uniform", draws=20)
    fast = probe.measure(Landscape(circuit, split)).scalars
    slow.model.supports_vmap = False
    assert probe.measure(slow).scalars == pytest.approx(fast, rel=1e-10)


def test_a_trained_readout_stays_where_it_is(toys, split):
    circuit = toys.build(PennyLaneQNN(depth=1, readout="affine"), split, seed=4)
    with torch.no_grad():
        circuit.readout_scale.fill_(2.0)
    found = GradientVarianceProbe(draw="uniform", draws=20).measure(Landscape(circuit, split))
    offset = found.arrays["logit_gradient_square"][-1]
    assert offset == pytest.approx(1.0)


@pytest.mark.parametrize("model", [MLP(hidden=(2,)), RandomQNN(depth=1)], ids=["MLP", "RandomQNN"])
def test_models_without_trained_angles_are_left_out(toys, split, model):
    probe = GradientVarianceProbe(draw="uniform")
    assert "has no trained angles" in probe.unsuited(model)
    assert GradientVarianceProbe().unsuited(model) == ""
    with pytest.raises(ConfigError, match="no trained angles"):
        probe.measure(Landscape(toys.build(model, split, seed=0), split))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"draws": 25}, "draws"),
        ({"draws": 10}, "draws"),
        ({"draw": "everywhere"}, "uniform"),
        ({"spread": 0}, "spread"),
    ],
)
def test_bad_fields_are_refused(fields, said):
    with pytest.raises(ConfigError, match=said):
        GradientVarianceProbe(**fields)
