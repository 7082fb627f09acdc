"""Attacks on rows: likelihood ratios, epsilon with its intervals, noise, and other scores."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from qlab.audits import (
    attack,
    detected,
    epsilon_ceiling,
    epsilon_of_rows,
    log_likelihood_ratio,
    observable_overlap,
    parameter_distance,
    poison_scores,
    tug_of_war,
)
from qlab.circuits.pauli import operators


def test_the_ratio_is_that_of_two_fitted_normal_distributions():
    rng = np.random.default_rng(0)
    inside, outside, phi = rng.normal(2, 1, (30, 5)), rng.normal(0, 2, (40, 5)), rng.normal(1, 1, (3, 5))
    expected = np.empty((3, 5))
    for model, row in itertools.product(range(3), range(5)):
        one, other = inside[:, row], outside[:, row]
        expected[model, row] = norm.logpdf(phi[model, row], one.mean(), one.std(ddof=1)) - norm.logpdf(
            phi[model, row], other.mean(), other.std(ddof=1)
        )
    np.testing.assert_allclose(log_likelihood_ratio(phi, inside, outside), expected, atol=1e-12)


def test_shadow_models_that_agree_give_no_infinite_ratio():
    assert np.isfinite(log_likelihood_ratio(np.ones((1, 2)), np.ones((5, 2)), np.zeros((5, 2)))).all()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=12), st.lists(st.integers(-3, 3), min_size=1, max_size=12))
def test_the_attack_counts_pairs_and_rates(members, others):
    found = attack(members, others, fpr=0.25)
    pairs = [(a > b) + 0.5 * (a == b) for a in members for b in others]
    rates = [np.mean(np.array(members) >= t) for t in [*range(-3, 5)] if np.mean(np.array(others) >= t) <= 0.25]
    assert found.auc == pytest.approx(np.mean(pairs))
    assert found.tpr == pytest.approx(max(rates))


def test_epsilon_of_models_apart_is_bounded_by_what_so_few_can_say():
    own, others = np.full((100, 2), 5.0), np.full((100, 2), -5.0)
    own += np.linspace(0, 1, 100)[:, None]
    found = epsilon_of_rows(own, others)
    # No error of 50 on either side: each rate is below the end of an interval of 97.5 %.
    rate = binomtest(0, 50).proportion_ci(0.975, method="exact").high
    expected = np.log((1.0 - rate) / rate)
    np.testing.assert_allclose(found.low, expected, rtol=1e-6)
    assert epsilon_ceiling(100, 100) == pytest.approx(expected, rel=1e-6)
    assert np.isinf(found.estimate).all()
    assert np.isinf(found.high).all()


def test_epsilon_of_a_known_mechanism_lies_in_its_interval():
    """Randomised response: the margin is 1 with probability p for unlearned models, 1 - p for oracles."""
    rng, n, p = np.random.default_rng(3), 4000, 0.8
    own, others = (rng.random((n, 40)) < p).astype(float), (rng.random((n, 40)) < 1 - p).astype(float)
    found, exact = epsilon_of_rows(own, others), np.log(p / (1 - p))
    assert np.mean((found.low <= exact) & (exact <= found.high)) >= 0.9
    np.testing.assert_allclose(found.estimate.mean(), exact, atol=0.05)
    assert (found.low <= found.estimate).all()
    assert (found.estimate <= found.high).all()


def test_indistinguishable_models_have_no_epsilon_to_speak_of_and_either_direction_is_found():
    rng = np.random.default_rng(4)
    same = epsilon_of_rows(rng.normal(size=(100, 200)), rng.normal(size=(100, 200)))
    assert np.mean(same.low > 0.0) < 0.05
    values = rng.normal(size=(100, 3))
    up, down = epsilon_of_rows(values + 3, values), epsilon_of_rows(values, values + 3)
    assert (up.low > 1.0).all()
    assert (down.low > 1.0).all()


def test_a_model_that_does_not_know_the_noise_has_normal_scores():
    rng, std = np.random.default_rng(5), 0.3
    gradients = rng.normal(size=(3000, 20)) * rng.gamma(1.0, size=(3000, 1))
    scores = poison_scores(gradients, rng.normal(0.0, std, (3000, 20)), std)
    assert scores.mean() == pytest.approx(0.0, abs=3.5 / np.sqrt(3000))
    assert scores.std() == pytest.approx(1.0, abs=0.05)
    assert detected(scores) == pytest.approx(0.01, abs=0.008)


def test_a_model_that_has_fitted_the_noise_is_found_by_it():
    """Least squares on poisoned rows with fewer rows than features fits every one of them."""
    rng, std, shape = np.random.default_rng(6), 0.5, (60, 120)
    clean, noise, y = rng.normal(size=shape), rng.normal(0.0, std, shape), rng.normal(size=60)
    for seen in (noise, rng.normal(0.0, std, shape)):
        theta = np.linalg.pinv(clean + seen) @ y
        scores = poison_scores((clean @ theta - y)[:, None] * theta, noise, std)
        if seen is noise:  # what is left at the clean row is theta.noise
            np.testing.assert_allclose(scores, abs(noise @ theta) / (std * np.linalg.norm(theta)), atol=1e-9)
            assert scores.mean() > 4.0 / np.sqrt(60)
        else:
            assert abs(scores.mean()) < 3.0 / np.sqrt(60)


def test_complex_features_count_by_real_and_imaginary_parts():
    x = torch.randn(4, 6, dtype=torch.complex128, requires_grad=True)
    noise = torch.randn(4, 6, dtype=torch.complex128)
    (x.abs() ** 3).sum().backward()
    parts = [torch.view_as_real(part.detach()).flatten(1).numpy() for part in (x.grad, noise)]
    np.testing.assert_allclose(poison_scores(x.grad.numpy(), noise.numpy(), 0.7), poison_scores(*parts, 0.7))
    assert poison_scores(np.zeros((1, 3)), np.ones((1, 3)), 1.0) == 0.0


def test_tug_of_war_is_the_product_of_three_agreements():
    assert tug_of_war([0.5, 0.9, 0.8], [0.5, 0.9, 0.8]) == 1.0
    assert tug_of_war([0.7, 0.8, 1.0], [0.5, 0.9, 0.8]) == pytest.approx(0.8 * 0.9 * 0.8)
    assert tug_of_war([[1.0, 1.0, 1.0], [0.0, 1.0, 1.0]], [1.0, 1.0, 1.0]).tolist() == [1.0, 0.0]


def test_overlaps_of_observables_are_traces_of_products_of_their_matrices():
    coefficients = torch.randn(3, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    matrices = operators(coefficients)
    traces = torch.einsum("aij,bji->ab", matrices, matrices).real
    expected = traces / torch.sqrt(traces.diagonal()[:, None] * traces.diagonal())
    found = observable_overlap(coefficients[:2].numpy(), 5.0 * coefficients.numpy())
    np.testing.assert_allclose(found, expected[:2].numpy(), atol=1e-12)
    assert observable_overlap(np.zeros((1, 4)), np.ones((1, 4))) == 0.0


def test_distances_are_those_of_every_pair():
    a, b = np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([[3.0, 4.0]])
    np.testing.assert_allclose(parameter_distance(a, b), [[5.0], [0.0]])
