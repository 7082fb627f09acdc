"""Directions: random, filter-normalised as Li et al. define them, eigenvectors, principal directions, points."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qlab.errors import DataError
from qlab.landscape import Landscape, SliceProbe, directions
from qlab.models import MLP, PennyLaneQNN
from qlab.tasks import Split


@pytest.fixture(scope="module")
def mlp(toys):
    """A perceptron 6-5-3-1 whose biases are not zero, with a bent trajectory towards it."""
    split = toys.real_split(15, 6, seed=4)
    model = toys.build(MLP(hidden=(5, 3), dtype="float64"), split, seed=1)
    theta = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    generator = torch.Generator().manual_seed(2)
    steps = torch.randn(3, len(theta), generator=generator, dtype=torch.float64)
    s = torch.linspace(1.0, 0.0, 12, dtype=torch.float64)[:, None]
    trajectory = theta + 2.0 * s * steps[0] + s**2 * steps[1] + 0.05 * torch.sin(6 * s) * steps[2]
    return Landscape(model, split, trajectory=trajectory, seed=11)


def data_of(landscape):
    """The split again: a perceptron with all inputs active does not change features."""
    return Split(landscape.x, landscape.y.long())


def dense_hessian(landscape):
    return torch.autograd.functional.hessian(landscape.loss, landscape.theta)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_random_directions_are_orthonormal(mlp, count):
    found = directions.random_directions(mlp, count, 0)
    assert found.shape == (count, 57)
    torch.testing.assert_close(found @ found.mT, torch.eye(count, dtype=torch.float64), atol=1e-12, rtol=0)


def test_random_directions_point_everywhere(mlp):
    """Over many draws components have mean 0, variance 1/P and no preferred place."""
    found = torch.cat([directions.random_directions(mlp, 2, draw) for draw in range(300)])
    assert float(found.mean(0).abs().max()) < 5 / np.sqrt(600 * 57)
    np.testing.assert_allclose(found.square().mean(0).numpy(), 1 / 57, rtol=0.35)


@pytest.mark.parametrize("function", [directions.random_directions, directions.filter_directions])
def test_the_seed_and_the_draw_decide(toys, mlp, function):
    state = torch.get_rng_state()
    first = function(mlp, 2, 0)
    assert torch.equal(first, function(mlp, 2, 0))
    assert not torch.equal(first, function(mlp, 2, 1))
    other = Landscape(mlp.model, toys.real_split(15, 6, seed=4), seed=12)
    assert not torch.equal(first, function(other, 2, 0))
    assert torch.equal(torch.get_rng_state(), state)


def test_filters_of_a_perceptron_have_the_norm_they_have_at_the_centre(mlp):
    """Li et al., Sec. 4: the weights into one unit are a filter; biases are not perturbed."""
    found = directions.filter_directions(mlp, 2, 0)
    for direction in found:
        start = 0
        for fan_in, fan_out in ((6, 5), (5, 3), (3, 1)):
            size = fan_in * fan_out
            part, weights = (vector[start : start + size].reshape(fan_in, fan_out) for vector in (direction, mlp.theta))
            torch.testing.assert_close(part.norm(dim=0), weights.norm(dim=0), atol=1e-12, rtol=0)
            start += size
        assert direction[start:].tolist() == [0.0] * 9
        assert mlp.theta[start:].abs().min() > 0
    cosine = torch.nn.functional.cosine_similarity(found[0], found[1], dim=0)
    assert 1e-6 < abs(float(cosine)) < 0.6  # independent, not made orthogonal


def test_a_filter_keeps_the_direction_that_was_drawn(mlp):
    """Only lengths change: within a filter the two draws differ by one positive factor from unit Gaussians."""
    scaled = directions.filter_directions(mlp, 1, 0)[0][:30].reshape(6, 5)
    doubled = Landscape(mlp.model, data_of(mlp), points={"double": 2.0 * mlp.theta}, seed=11).at("double")
    again = directions.filter_directions(doubled, 1, 0)[0][:30].reshape(6, 5)
    torch.testing.assert_close(again, 2.0 * scaled, atol=1e-12, rtol=0)


def test_slices_along_filter_directions_do_not_see_rescaled_layers(mlp):
    """What filter normalisation is for: ten times the first layer and a tenth of the second are the same function."""
    plain = torch.cat([mlp.theta[:48], torch.zeros(9, dtype=torch.float64)])
    rescaled = torch.cat([10.0 * plain[:30], plain[30:45] / 10.0, plain[45:]])
    landscape = Landscape(mlp.model, data_of(mlp), points={"plain": plain, "rescaled": rescaled})
    slices = [
        landscape.measure(SliceProbe(at=name, directions="filter", resolution=5)) for name in ("plain", "rescaled")
    ]
    np.testing.assert_allclose(slices[0].arrays["loss"], slices[1].arrays["loss"], atol=1e-10)


def test_a_filter_that_is_zero_stays_where_it_is(mlp):
    theta = mlp.theta.clone()
    theta[torch.arange(6) * 5 + 2] = 0.0  # the third column of the first kernel
    landscape = Landscape(mlp.model, data_of(mlp), points={"pruned": theta}).at("pruned")
    found = directions.filter_directions(landscape, 2, 0)
    assert found.isfinite().all()
    assert found[:, torch.arange(6) * 5 + 2].tolist() == [[0.0] * 6] * 2
    assert (found[:, torch.arange(6) * 5] != 0).all()


def test_filters_that_are_all_zero(mlp):
    landscape = Landscape(mlp.model, data_of(mlp), points={"zero": torch.zeros(57)}).at("zero")
    with pytest.raises(DataError, match="Every filter is zero"):
        directions.filter_directions(landscape, 2, 0)


def test_filters_of_a_circuit_and_of_a_model_with_vectors_only(toys):
    split = toys.states(4, 4)
    landscape = Landscape(toys.build(PennyLaneQNN(depth=2), split), split)
    found = directions.filter_directions(landscape, 1, 0)[0]
    rotations, couplings = found[:24].reshape(2, 12), found[24:].reshape(2, 3)
    theta = landscape.theta
    torch.testing.assert_close(rotations.norm(dim=1), theta[:24].reshape(2, 12).norm(dim=1), atol=1e-12, rtol=0)
    torch.testing.assert_close(couplings.norm(dim=1), theta[24:].reshape(2, 3).norm(dim=1), atol=1e-12, rtol=0)
    split = toys.real_split(5, 3)
    landscape = Landscape(toys.build(toys.Homogeneous(), split), split)
    found = directions.filter_directions(landscape, 1, 0)[0]
    assert float(found.norm()) == pytest.approx(float(landscape.theta.norm()))


@pytest.mark.parametrize("whole", [2_000, 0], ids=["whole matrix", "Lanczos"])
@pytest.mark.parametrize("which", [(0,), (0, 1), (0, -1), (-1, -2), (2, 0), (-3, 1)], ids=str)
def test_eigenvectors_of_the_hessian(mlp, monkeypatch, whole, which):
    monkeypatch.setattr(directions, "WHOLE_HESSIAN", whole)
    values, vectors = torch.linalg.eigh(dense_hessian(mlp))
    found_values, found = directions.hessian_directions(mlp, which)
    assert found.shape == (len(which), 57)
    for index, value, vector in zip(which, found_values, found, strict=True):
        column = -1 - index  # eigh is ascending
        assert float(value) == pytest.approx(float(values[column]), abs=1e-8)
        assert abs(float(vector @ vectors[:, column])) == pytest.approx(1.0, abs=1e-6)
        assert float(vector.norm()) == pytest.approx(1.0, abs=1e-10)


def test_eigenvectors_have_a_sign_of_their_own(mlp):
    _, first = directions.hessian_directions(mlp, (0, 1))
    _, again = directions.hessian_directions(mlp, (1, 0))
    torch.testing.assert_close(first, again.flip(0), atol=1e-12, rtol=0)
    for vector in first:
        assert float(vector[vector.abs().argmax()]) > 0


@pytest.mark.parametrize("which", [(0, 57), (-58, 0)], ids=str)
def test_eigenvectors_that_do_not_exist(mlp, which):
    with pytest.raises(DataError, match="the model has 57 parameters"):
        directions.hessian_directions(mlp, which)


def test_a_hessian_that_is_not_finite(mlp):
    nan = mlp.theta.clone()
    nan[3] = float("nan")
    landscape = Landscape(mlp.model, data_of(mlp), points={"diverged": nan}).at("diverged")
    with pytest.raises(DataError, match="not finite"):
        directions.hessian_directions(landscape, (0, 1))


@pytest.mark.parametrize("count", [1, 2])
def test_principal_directions_are_those_of_a_singular_value_decomposition(mlp, count):
    steps = (mlp.trajectory - mlp.theta).numpy()
    values, vectors = np.linalg.eigh(steps.T @ steps)
    found, shares = directions.pca_directions(mlp, count)
    assert found.shape == (count, 57)
    np.testing.assert_allclose(shares.numpy(), values[::-1][:count] / values.sum(), atol=1e-12)
    overlaps = np.abs(found.numpy() @ vectors[:, ::-1][:, :count])
    np.testing.assert_allclose(overlaps, np.eye(count), atol=1e-7)


def test_principal_directions_are_seen_from_the_centre(mlp):
    """Centred elsewhere, the offset to the centre is part of what is explained."""
    far = mlp.theta + 50.0
    landscape = Landscape(mlp.model, data_of(mlp), points={"far": far}, trajectory=mlp.trajectory).at("far")
    found, shares = directions.pca_directions(landscape, 1)
    assert float(shares[0]) > 0.99
    assert abs(float(found[0].sum())) == pytest.approx(np.sqrt(57), rel=0.01)


@pytest.mark.parametrize("trajectory", ["none", "the point alone", "a straight line"])
def test_trajectories_that_span_no_plane(mlp, trajectory):
    theta = mlp.theta
    line = theta + torch.linspace(1.0, 0.0, 9, dtype=torch.float64)[:, None] * torch.ones(57, dtype=torch.float64)
    steps = {"none": None, "the point alone": theta[None], "a straight line": line}[trajectory]
    landscape = Landscape(mlp.model, data_of(mlp), trajectory=steps)
    with pytest.raises(DataError, match="no training trajectory" if steps is None else "does not span 2 directions"):
        directions.pca_directions(landscape, 2)
    if trajectory == "a straight line":
        _, shares = directions.pca_directions(landscape, 1)
        assert float(shares[0]) == pytest.approx(1.0)


def with_points(mlp, **points):
    return Landscape(mlp.model, data_of(mlp), points={name: mlp.theta + offset for name, offset in points.items()})


def unit(*places):
    vector = torch.zeros(57, dtype=torch.float64)
    for place, value in places:
        vector[place] = value
    return vector


def test_directions_through_points(mlp):
    landscape = with_points(mlp, a=unit((3, 2.0)), b=unit((3, -1.0), (7, 0.5)))
    found = directions.point_directions(landscape, ("a", "b"))
    torch.testing.assert_close(found, torch.stack([unit((3, 1.0)), unit((7, 1.0))]), atol=1e-12, rtol=0)
    found = directions.point_directions(landscape, ("b",))
    torch.testing.assert_close(found[0], unit((3, -1.0), (7, 0.5)) / np.sqrt(1.25), atol=1e-12, rtol=0)


@pytest.mark.parametrize("names", [("same",), ("same", "a"), ("a", "same")], ids=str)
def test_points_that_coincide_with_the_centre(mlp, names):
    landscape = with_points(mlp, same=torch.zeros(57), a=unit((0, 1.0)))
    with pytest.raises(DataError, match='"trained" and "same" coincide'):
        directions.point_directions(landscape, names)


@pytest.mark.parametrize("second", [2.0, -0.3, 1.0, 1.0 + 1e-12])
def test_three_points_on_a_line(mlp, second):
    direction = torch.linspace(-1.0, 1.0, 57, dtype=torch.float64)
    landscape = with_points(mlp, a=direction, b=second * direction)
    with pytest.raises(DataError, match=r'"trained", "a" and "b" lie on one line.*dimensions = 1'):
        directions.point_directions(landscape, ("a", "b"))


def test_points_that_are_near_but_not_on_a_line_span_a_plane(mlp):
    direction = torch.linspace(-1.0, 1.0, 57, dtype=torch.float64)
    landscape = with_points(mlp, a=direction, b=2.0 * direction + unit((5, 1e-4)))
    found = directions.point_directions(landscape, ("a", "b"))
    torch.testing.assert_close(found @ found.mT, torch.eye(2, dtype=torch.float64), atol=1e-8, rtol=0)


def test_projection_onto_directions_that_are_not_orthogonal(mlp):
    axes = torch.stack([2.0 * unit((0, 1.0)), unit((0, 1.0), (1, 1.0))])
    points = mlp.theta + torch.stack([unit((0, 5.0), (1, 3.0)), unit((1, -1.0), (9, 4.0)), unit()])
    coordinates, distances = directions.project(mlp, points, axes)
    np.testing.assert_allclose(coordinates.numpy(), [[1.0, 3.0], [0.5, -1.0], [0.0, 0.0]], atol=1e-12)
    np.testing.assert_allclose(distances.numpy(), [0.0, 4.0, 0.0], atol=1e-12)


def test_projection_of_a_point_that_is_not_finite(mlp):
    """A diverged unlearner is one of the points: it has no coordinates, the others do."""
    points = mlp.theta + torch.stack([unit((0, 1.0)), unit((0, float("nan")))])
    coordinates, distances = directions.project(mlp, points, unit((0, 2.0))[None])
    assert coordinates[0].tolist() == [pytest.approx(0.5)]
    assert torch.isnan(coordinates[1]).all()
    assert torch.isnan(distances).tolist() == [False, True]
