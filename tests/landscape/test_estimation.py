"""Estimates by Hessian-vector products against dense Hessians."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from qlab.landscape import Landscape, RougheningProbe, estimation
from qlab.models import MLP, PennyLaneQNN


@pytest.fixture(scope="module")
def large(toys):
    """A perceptron with 1,113 parameters and its Hessian, dense, of the loss written out."""
    split = toys.real_split(100, 64, seed=1)
    model = toys.build(MLP(hidden=(16, 4), dtype="float64"), split, seed=2, spread=0.4)
    landscape = Landscape(model, split)
    logits = toys.mlp_logits([64, 16, 4, 1], split.x)
    hessian = torch.autograd.functional.hessian(
        lambda flat: toys.cross_entropy(logits(flat), split.y.double()), landscape.theta, vectorize=True
    )
    assert landscape.n_parameters == 1113
    return landscape, hessian


@pytest.fixture(scope="module")
def ring(toys):
    """A circuit of 48 parameters and its Hessian, dense."""
    split = toys.states(10, 4)
    landscape = Landscape(toys.build(PennyLaneQNN(depth=3, entangler="ring"), split), split)
    return landscape, torch.autograd.functional.hessian(landscape.loss, landscape.theta)


def with_seed(toys, seed):
    split = toys.real_split(20, 10, seed=1)
    return Landscape(toys.build(MLP(hidden=(6, 3), dtype="float64"), split, seed=2), split, seed=seed)


@pytest.mark.parametrize("name", ["large", "ring"])
@pytest.mark.parametrize("estimator", ["hutchinson", "hutch++"])
def test_estimates_lie_within_three_standard_errors(request, name, estimator):
    landscape, hessian = request.getfixturevalue(name)
    exact = float(torch.linalg.eigvalsh(hessian).sum())
    found, error = estimation.trace_estimate(landscape, estimator, 300)
    assert 0.0 < error < 0.5 * abs(exact) + 0.1
    assert abs(found - exact) < 3.0 * error
    assert RougheningProbe().trace(landscape).total == pytest.approx(exact, abs=1e-8)


@pytest.mark.parametrize("estimator", ["hutchinson", "hutch++"])
def test_the_standard_error_is_neither_too_small_nor_too_large(toys, estimator):
    """Deviations from the exact trace over its standard error, for 10 seeds: Student's t with 9 degrees of freedom."""
    landscapes = [with_seed(toys, seed) for seed in range(10)]
    hessian = torch.autograd.functional.hessian(landscapes[0].loss, landscapes[0].theta)
    estimates = [estimation.trace_estimate(landscape, estimator, 60) for landscape in landscapes]
    t = np.array([(found - float(hessian.trace())) / error for found, error in estimates])
    assert len(set(estimates)) == 10
    assert 0.6 < np.sqrt((t**2).mean()) < 1.8
    assert abs(t.mean()) < 0.8


def test_the_error_falls_with_more_products(large):
    landscape, _ = large
    few, many = (estimation.trace_estimate(landscape, "hutchinson", matvecs)[1] for matvecs in (20, 2000))
    assert many < 0.4 * few


def test_hutchpp_is_exact_on_a_hessian_of_low_rank(toys):
    """Ten rows and a linear model: rank 10, which the leading subspace of ten vectors takes in whole."""
    split = toys.real_split(10, 60)
    landscape = Landscape(toys.build(toys.Linear(), split), split)
    found, error = estimation.trace_estimate(landscape, "hutch++", 300)
    hessian = torch.autograd.functional.hessian(landscape.loss, landscape.theta)
    assert found == pytest.approx(float(hessian.trace()), abs=1e-9)
    assert error < 1e-9


ESTIMATES = {
    "hutchinson": lambda landscape: estimation.trace_estimate(landscape, "hutchinson", 60),
    "hutch++": lambda landscape: estimation.trace_estimate(landscape, "hutch++", 60),
    "extreme eigenvalues": lambda landscape: estimation.extreme_eigenvalues(landscape, 3),
    "eigenvectors": lambda landscape: estimation.eigenvectors(landscape, 3, "LA"),
    "density": lambda landscape: estimation.spectral_density(landscape, 64),
}


@pytest.mark.parametrize("what", ESTIMATES)
def test_the_seed_decides_and_no_global_generator_moves(toys, what):
    estimate = ESTIMATES[what]
    torch.manual_seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    first = estimate(with_seed(toys, 3))
    after = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]
    torch.manual_seed(6)
    again = estimate(with_seed(toys, 3))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(two))


def test_the_seed_decides_in_a_degenerate_spectrum_too(toys):
    """A dead network: one eigenvalue of p (1 - p), all others zero. Lanczos has to start again from a new vector."""
    split = toys.real_split(20, 30)
    landscape = Landscape(toys.dead_mlp(split), split, seed=3)
    first, again = (estimation.eigenvectors(landscape, 3, "LA") for _ in range(2))
    torch.testing.assert_close(first[0], again[0], atol=1e-12, rtol=0)
    torch.testing.assert_close(first[1], again[1], atol=1e-12, rtol=0)


@pytest.mark.parametrize("what", ["hutchinson", "hutch++"])
def test_another_seed_draws_other_vectors(toys, what):
    assert ESTIMATES[what](with_seed(toys, 3)) != ESTIMATES[what](with_seed(toys, 4))


@pytest.mark.parametrize("name", ["large", "ring"])
def test_extreme_eigenvalues_are_those_of_the_dense_hessian(request, name):
    landscape, hessian = request.getfixturevalue(name)
    values = torch.linalg.eigvalsh(hessian).numpy()
    lowest, largest = estimation.extreme_eigenvalues(landscape, 5)
    np.testing.assert_allclose(lowest, values[:5], atol=1e-8)
    np.testing.assert_allclose(largest, values[-5:], atol=1e-8)


@pytest.mark.parametrize("name", ["large", "ring"])
@pytest.mark.parametrize("which", ["LA", "SA"])
def test_eigenvectors_are_those_of_the_dense_hessian(request, name, which):
    landscape, hessian = request.getfixturevalue(name)
    values, vectors = torch.linalg.eigh(hessian)
    values, vectors = (values.flip(0), vectors.flip(1)) if which == "LA" else (values, vectors)
    found_values, found = estimation.eigenvectors(landscape, 3, which)
    assert found.shape == (3, landscape.n_parameters)
    torch.testing.assert_close(found_values, values[:3], atol=1e-8, rtol=0)
    overlaps = (found @ vectors[:, :3]).abs()
    torch.testing.assert_close(overlaps, torch.eye(3, dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(hessian @ found.mT, found.mT * found_values, atol=1e-7, rtol=0)


def test_lanczos_finds_a_lowest_eigenvalue_of_zero(toys):
    """Fewer rows than parameters and a convex loss: the lowest eigenvalues are all zero, the largest are not."""
    split = toys.real_split(8, 40)
    landscape = Landscape(toys.build(toys.Linear(), split), split)
    values = torch.linalg.eigvalsh(torch.autograd.functional.hessian(landscape.loss, landscape.theta)).numpy()
    lowest, largest = estimation.extreme_eigenvalues(landscape, 3)
    np.testing.assert_allclose(lowest, np.zeros(3), atol=1e-12)
    np.testing.assert_allclose(largest, values[-3:], atol=1e-10)


def test_the_density_integrates_to_one_and_has_the_mean_and_range_of_the_spectrum(large):
    landscape, hessian = large
    values = torch.linalg.eigvalsh(hessian).numpy()
    grid, density = estimation.spectral_density(landscape)
    width = values[-1] - values[0]
    assert density.min() >= 0.0
    assert np.trapezoid(density, grid) == pytest.approx(1.0, abs=0.02)
    assert np.trapezoid(grid * density, grid) == pytest.approx(values.mean(), abs=0.02 * width)
    assert grid[0] == pytest.approx(values[0], abs=0.1 * width)
    assert grid[-1] == pytest.approx(values[-1], abs=0.1 * width)


def test_the_operator_is_the_hessian_at_the_centre(toys, large):
    landscape, hessian = large
    moved = Landscape(landscape.model, toys.real_split(100, 64, seed=1), points={"other": 0.5 * landscape.theta})
    vectors = torch.randn(1113, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(estimation.hessian_operator(moved) @ vectors, hessian @ vectors, atol=1e-9, rtol=0)
    other = torch.autograd.functional.hessian(landscape.loss, 0.5 * landscape.theta, vectorize=True)
    found = estimation.hessian_operator(moved.at("other")) @ vectors
    torch.testing.assert_close(found, other @ vectors, atol=1e-9, rtol=0)


def test_a_model_without_vmap_is_estimated_too(toys):
    split = toys.real_split(6, 13)
    models = [toys.build(model, split, seed=3) for model in (toys.Bend(), toys.Loop())]
    found = [estimation.trace_estimate(Landscape(model, split), "hutch++", 60) for model in models]
    assert found[1] == pytest.approx(found[0], abs=1e-10)
