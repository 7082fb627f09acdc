"""What noise is worth: bounds hold, epsilon is exact, and what cannot be certified is refused."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm
from support.unlearned import Polluted, flat

from qlab.errors import ConfigError
from qlab.losses import CrossEntropy, MeanAbsoluteError
from qlab.models import CNOTQNN, MLP, Features, PauliLinear, PennyLaneQNN
from qlab.unlearning import NewtonStep
from qlab.unlearning.certificate import Smoothness, gaussian_epsilon, newton_bound
from qlab.unlearning.changed import check_method

QNN, LINEAR = PennyLaneQNN(depth=2, scale=2.0), PauliLinear(sites=2)
DECAY = 0.01


@pytest.fixture(scope="module")
def polluted(small_task, small_data):
    def make(model, decay=0.0):
        return Polluted(model, small_task, small_data, 0.25, weight_decay=decay, epochs=20, batch_size=16)

    return functools.cache(make)


def told_apart(epsilon, distance):
    """The largest P(A) - exp(epsilon) P'(A) of unit Gaussians at a distance, by integration over all points."""

    def excess(x):
        return max(norm.pdf(x) - math.exp(epsilon) * norm.pdf(x, distance), 0.0)

    edge = distance / 2 - epsilon / distance  # left of it the first is likelier by enough
    return quad(excess, edge - 12.0, edge, limit=200)[0]


@pytest.mark.parametrize("distance", [0.01, 0.3, 1.0, 4.0])
@pytest.mark.parametrize("sigma", [1.0, 0.1])
@pytest.mark.parametrize("delta", [1e-2, 1e-5])
def test_epsilon_is_the_least_for_which_gaussians_cannot_be_told_apart(distance, sigma, delta):
    found = float(gaussian_epsilon(torch.tensor(distance * sigma, dtype=torch.float64), sigma, delta))
    if found == 0.0:
        assert told_apart(0.0, distance) <= delta
    else:
        assert told_apart(found, distance) == pytest.approx(delta, rel=1e-4)


def test_epsilon_grows_with_the_bound_up_to_very_large_ones():
    bounds = torch.logspace(-3, 6, 40, dtype=torch.float64)
    found = gaussian_epsilon(bounds, 1.0, 1e-5)
    assert bool(found.isfinite().all())
    assert bool((found[1:] >= found[:-1]).all())
    assert float(found[0]) == pytest.approx(0.0, abs=0.02)
    assert bool(gaussian_epsilon(torch.tensor(math.nan, dtype=torch.float64), 1.0, 1e-5).isnan())


@pytest.mark.parametrize("scale", [1.0, 5.0])
@pytest.mark.parametrize("readout", ["Z_last", "mean_Z"])
def test_no_circuit_is_less_smooth_than_is_said(scale, readout):
    model = PennyLaneQNN(depth=1, scale=scale, observable=readout)
    model = model.build(Features(8, True, torch.ones(8, dtype=torch.bool)))
    known, draw = Smoothness.of(model), torch.Generator().manual_seed(0)
    states = torch.randn(6, 8, generator=draw, dtype=torch.complex128)
    x, n = model.prepare(states / states.norm(dim=1, keepdim=True)), model.n_parameters()
    shapes = {name: own.shape for name, own in model.named_parameters()}

    def loss(theta, row, label):
        parts = theta.split([shape.numel() for shape in shapes.values()])
        named = {name: part.reshape(shapes[name]) for name, part in zip(shapes, parts, strict=True)}
        z = torch.func.functional_call(model, named, (x[row],))
        return torch.nn.functional.binary_cross_entropy_with_logits(z, label)

    largest = 0.0
    for row in ([0], list(range(6))):
        for label in (torch.zeros(len(row), dtype=torch.float64), torch.ones(len(row), dtype=torch.float64)):
            theta = 6.0 * torch.rand(n, generator=draw, dtype=torch.float64)
            step = 0.01 * torch.randn(n, generator=draw, dtype=torch.float64)
            bent = functools.partial(loss, row=row, label=label)
            here, there = (torch.autograd.functional.hessian(bent, point) for point in (theta, theta + step))
            assert float(torch.linalg.matrix_norm(here, 2)) <= known.gradient
            change = float(torch.linalg.matrix_norm(there - here, 2) / step.norm())
            assert change <= known.hessian
            largest = max(largest, change)
    assert largest > 1e-4 * known.hessian  # a bound, and not one of another problem


def test_constants_grow_with_weights_in_the_light_cone_alone(small_data):
    found = [Smoothness.of(PennyLaneQNN(depth=depth).build(Features.of(small_data))) for depth in (1, 2, 3)]
    for name in ("gradient", "hessian", "diameter"):
        values = [getattr(one, name) for one in found]
        assert values == sorted(values)
    model = PennyLaneQNN(depth=1).build(Features.of(small_data))  # RX, RY of the last qubit; more drops out
    assert found[0].diameter == pytest.approx(math.pi * math.sqrt(int(model.reached_parameters().sum())))


def test_the_bound_of_a_circuit_is_never_below_what_is_known_without():
    known = Smoothness(3.0, 50.0, 4.0)
    for damping in (0.1, 10.0, 1e6):
        for lowest in (-0.05, 0.0, 20.0):
            bound = float(newton_bound(known, damping, torch.tensor(lowest, dtype=torch.float64)))
            assert bound == pytest.approx(4.0 * (50.0 * 2.0 + damping) / (damping + lowest))
            assert bound > 4.0
    assert float(newton_bound(known, 1.0, torch.tensor(200.0, dtype=torch.float64))) < 4.0


def test_a_circuits_certificate_is_logged_with_what_makes_it_vacuous(polluted):
    case = polluted(QNN)
    found = case.unlearn(NewtonStep(damping=20.0, noise=0.1, certify=True)).measured
    assert set(found) == {f"certificate_{name}" for name in ("bound", "trivial", "epsilon", "hessian_norm")}
    known = Smoothness.of(case.trained.model)
    for row in range(3):
        one = case.alone(row)
        curved = torch.autograd.functional.hessian(functools.partial(one.mean, rows=one.retain), one.teacher)
        values = torch.linalg.eigvalsh(curved)
        assert float(found["certificate_hessian_norm"][row]) == pytest.approx(float(values.abs().max()))
        assert float(found["certificate_bound"][row]) == pytest.approx(float(newton_bound(known, 20.0, values[0])))
        assert float(found["certificate_trivial"][row]) == pytest.approx(known.diameter)
    assert bool((found["certificate_bound"] > found["certificate_trivial"]).all())
    assert bool((found["certificate_epsilon"] > 100.0).all())


def test_too_little_damping_of_a_circuit_gives_no_bound(polluted):
    found = polluted(QNN).unlearn(NewtonStep(damping=1e-3, noise=0.1, certify=True)).measured
    assert bool((found["certificate_hessian_norm"] > 1e-3).all())
    assert bool(found["certificate_bound"].isnan().all())
    assert bool(found["certificate_epsilon"].isnan().all())


@pytest.mark.parametrize("solver", ["exact", "cg"])
def test_a_convex_models_certificate_holds_and_is_not_vacuous(polluted, solver):
    case = polluted(LINEAR, DECAY)
    oracle = case.unlearn(NewtonStep(steps=10, damping=0.0), weight_decay=DECAY)
    epsilons = []
    for steps in (1, 3, 6):
        settings = {"steps": steps, "damping": 0.001, "solver": solver}
        certified = NewtonStep(**settings, noise=0.01, certify=True)
        found = case.unlearn(certified, weight_decay=DECAY)
        without = case.unlearn(NewtonStep(**settings), weight_decay=DECAY)
        for row in range(3):
            expected = flat(oracle, row)
            bound, trivial = (float(found.measured[f"certificate_{name}"][row]) for name in ("bound", "trivial"))
            assert float((flat(without, row) - expected).norm()) <= bound < trivial
            assert float((case.alone(row).teacher - expected).norm()) <= trivial
            noise = flat(found, row) - flat(without, row)
            assert 0.005 < float(noise.std()) < 0.02
        epsilons.append(found.measured["certificate_epsilon"].max())
        assert found.loss_evaluations == pytest.approx(without.loss_evaluations)
    assert epsilons[0] > epsilons[1] >= epsilons[2]
    assert float(epsilons[2]) < 0.1
    assert np.isfinite(float(epsilons[0]))


def test_nothing_is_logged_that_nobody_asked_for(polluted):
    assert polluted(QNN).unlearn(NewtonStep(noise=0.1)).measured == {}


REFUSED = {
    "a network": (MLP(hidden=(3,)), {}, {}, "Lipschitz constants .* of MLP are not"),
    "another ansatz": (CNOTQNN(depth=1), {}, {}, "CNOTQNN are not: its ansatz is its own"),
    "a trained readout": (PennyLaneQNN(depth=1, readout="affine"), {}, {}, "logits are bounded"),
    "several steps": (QNN, {"steps": 2}, {}, "one exact step .* steps = 2"),
    "no damping": (QNN, {"damping": 0.0}, {}, "damping = 0"),
    "conjugate gradients": (QNN, {"solver": "cg"}, {}, 'solver = "cg"'),
    "an L2 penalty of angles": (QNN, {}, {"weight_decay": 0.1}, "up to 2 pi only"),
    "another loss": (QNN, {}, {"loss": MeanAbsoluteError()}, "CrossEntropy.*got MeanAbsoluteError"),
    "no noise": (QNN, {"noise": 0.0}, {}, "nothing to certify without noise"),
    "a bounded operator": (PauliLinear(sites=2, bound="operator"), {}, {"weight_decay": 0.1}, 'bound = "operator"'),
    "no strong convexity": (LINEAR, {}, {}, "strongly convex"),
}


@pytest.mark.parametrize(("model", "settings", "training", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_certified_is_refused_with_the_assumption(small_data, model, settings, training, message):
    built = model.build(Features.of(small_data))
    method = NewtonStep(**({"noise": 0.1, "certify": True} | settings))
    trained = {"loss": CrossEntropy(), "weight_decay": 0.0} | training
    with pytest.raises(ConfigError, match=f"NewtonStep: .*{message}"):
        check_method(method, built, **trained)
    if settings.get("noise", 1.0):
        check_method(NewtonStep(**(settings | {"noise": 0.1})), built, **trained)
