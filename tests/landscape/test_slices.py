"""Slices: values on the grid, the quadratic form near a minimum, marks, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch.func import functional_call

from qlab.errors import ConfigError, DataError
from qlab.landscape import Landscape, Needs, SliceProbe
from qlab.models import MLP, PennyLaneQNN
from qlab.tasks import Split

KINDS = ["random", "filter", "hessian", "pca", "points"]


def by_hand(model, split, flat):
    """Loss and accuracy of a model with these parameters, one call for one point."""
    parts, start = {}, 0
    for name, parameter in model.named_parameters():
        parts[name] = flat[start : start + parameter.numel()].reshape(parameter.shape).to(parameter.dtype)
        start += parameter.numel()
    with torch.no_grad():
        z = functional_call(model, parts, (model.prepare(split.x),)).double()
    y = split.y.double()
    loss = (torch.log1p(torch.exp(-z.abs())) + z.clamp_min(0.0) - y * z).mean()
    return float(loss), float(((z > 0) == (y == 1)).double().mean())


MODELS = {
    "mlp": lambda toys: (MLP(hidden=(5, 3), dtype="float64"), toys.real_split(15, 6, seed=4)),
    "chain": lambda toys: (PennyLaneQNN(depth=2), toys.states(6, 4)),
    "ring": lambda toys: (PennyLaneQNN(depth=2, entangler="ring"), toys.states(6, 3)),
    "on a device": lambda toys: (PennyLaneQNN(depth=2, device="default.qubit"), toys.states(6, 3)),
    "bend": lambda toys: (toys.Bend(), toys.real_split(8, 4)),
    "loop": lambda toys: (toys.Loop(), toys.real_split(8, 4)),
    "linear": lambda toys: (toys.Linear(), toys.real_split(8, 4)),
}


@pytest.fixture(scope="module", params=MODELS)
def case(request, toys):
    """A model, its data, and its landscape with two more points and a trajectory from the first to the model."""
    unbuilt, split = MODELS[request.param](toys)
    model, initial, other = (toys.build(unbuilt, split, seed=seed) for seed in range(3))
    ends = [torch.cat([p.detach().double().flatten() for p in part.parameters()]) for part in (initial, model)]
    s = torch.linspace(0.0, 1.0, 7, dtype=torch.float64)[:, None]
    bend = torch.linspace(-1.0, 1.0, len(ends[0]), dtype=torch.float64).cos()
    trajectory = (1.0 - s) * ends[0] + s * ends[1] + s * (1.0 - s) * bend
    points = {"initial": initial, "oracle": other}
    return model, split, Landscape(model, split, points=points, trajectory=trajectory, seed=4)


def measured(landscape, kind, **fields):
    points = {"points": ("initial", "oracle")[: fields.get("dimensions", 2)]} if kind == "points" else {}
    return SliceProbe(directions=kind, **points, **fields).measure(landscape)


@pytest.mark.parametrize("kind", KINDS)
def test_every_point_of_a_plane_is_the_model_with_these_parameters(case, kind):
    model, split, landscape = case
    found = measured(landscape, kind, span=0.7, resolution=4)
    arrays = found.arrays
    assert arrays["loss"].shape == arrays["accuracy"].shape == (4, 4)
    np.testing.assert_allclose(arrays["axis"], [-0.7, -0.7 / 3, 0.7 / 3, 0.7], atol=1e-15)
    axes = torch.from_numpy(arrays["directions"])
    assert axes.shape == (2, landscape.n_parameters)
    for i, a in enumerate(arrays["axis"]):
        for j, b in enumerate(arrays["axis"]):
            expected = by_hand(model, split, landscape.theta + a * axes[0] + b * axes[1])
            assert arrays["loss"][i, j] == pytest.approx(expected[0], abs=1e-10)
            assert arrays["accuracy"][i, j] == pytest.approx(expected[1], abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_every_point_of_a_line_is_the_model_with_these_parameters(case, kind):
    model, split, landscape = case
    arrays = measured(landscape, kind, dimensions=1, span=1.3, resolution=5).arrays
    assert arrays["loss"].shape == (5,)
    [axis] = torch.from_numpy(arrays["directions"])
    for i, a in enumerate(arrays["axis"]):
        expected = by_hand(model, split, landscape.theta + a * axis)
        assert arrays["loss"][i] == pytest.approx(expected[0], abs=1e-10)
        assert arrays["accuracy"][i] == pytest.approx(expected[1], abs=1e-12)


def test_the_centre_is_on_a_grid_of_odd_resolution(case):
    model, split, landscape = case
    found = measured(landscape, "filter", resolution=11)
    loss, accuracy = by_hand(model, split, landscape.theta)
    assert found.arrays["axis"][5] == pytest.approx(0.0, abs=1e-15)
    assert found.arrays["loss"][5, 5] == pytest.approx(loss, abs=1e-12)
    assert found.scalars["landscape_loss"] == pytest.approx(loss, abs=1e-12)
    assert found.scalars["landscape_accuracy"] == found.arrays["accuracy"][5, 5] == accuracy


@pytest.mark.parametrize("at_once", [1, 3000])
def test_a_slice_does_not_depend_on_how_much_is_evaluated_at_once(case, monkeypatch, at_once):
    landscape = case[2]
    whole = measured(landscape, "random", resolution=5).arrays
    monkeypatch.setattr("qlab.landscape.landscape.CHUNK_BYTES", at_once)
    parts = measured(landscape, "random", resolution=5).arrays
    np.testing.assert_allclose(parts["loss"], whole["loss"], atol=1e-13)


def newton(landscape, steps=60, damping=0.0):
    """A minimum of the loss, to machine precision, by Newton steps with the dense Hessian."""
    theta = landscape.theta.clone()
    for _ in range(steps):
        leaf = theta.clone().requires_grad_()
        [gradient] = torch.autograd.grad(landscape.loss(leaf), leaf)
        hessian = torch.autograd.functional.hessian(landscape.loss, theta)
        values, vectors = torch.linalg.eigh(hessian)
        scaled = torch.where(values.abs() > 1e-9, (vectors.mT @ gradient) / values.abs().clamp_min(damping + 1e-9), 0.0)
        step = vectors @ scaled
        theta = theta - step * min(1.0, 0.5 / float(step.norm()))
        if float(gradient.norm()) < 1e-12:
            break
    assert float(gradient.norm()) < 1e-9
    return theta


@pytest.fixture(scope="module", params=["linear", "chain"])
def minimum(request, toys):
    """A landscape centred on a minimum of its loss: a convex one, and one of a circuit with flipped labels."""
    if request.param == "linear":
        split = toys.real_split(40, 4, seed=3)
        landscape = Landscape(toys.build(toys.Linear(), split), split)
    else:
        split = toys.states(24, 2, seed=1)
        landscape = Landscape(toys.build(PennyLaneQNN(depth=2), split, seed=3), split)
    point = newton(landscape)
    return Landscape(landscape.model, split, points={"minimum": point}).at("minimum")


@pytest.mark.parametrize("kind", ["hessian", "random", "filter"])
def test_near_a_minimum_a_slice_is_the_quadratic_form_of_the_hessian(minimum, kind):
    """The error is of third order: a quarter of the span, 1/64 of the error (fourth order where it is even)."""
    hessian = torch.autograd.functional.hessian(minimum.loss, minimum.theta)
    errors = []
    for span in (0.1, 0.025):
        arrays = SliceProbe(directions=kind, span=span, resolution=7, at="minimum").measure(minimum).arrays
        a, b = np.meshgrid(arrays["axis"], arrays["axis"], indexing="ij")
        form = (torch.from_numpy(arrays["directions"]) @ hessian @ torch.from_numpy(arrays["directions"]).mT).numpy()
        quadratic = 0.5 * (form[0, 0] * a**2 + 2.0 * form[0, 1] * a * b + form[1, 1] * b**2)
        rise = arrays["loss"] - float(minimum.loss(minimum.theta))
        errors.append(np.abs(rise - quadratic).max())
        assert errors[-1] < 0.3 * np.abs(quadratic).max()
        if kind == "hessian":
            assert abs(form[0, 1]) < 1e-8
    assert errors[1] < errors[0] / 40
    assert errors[1] < 0.1 * np.abs(quadratic).max()


def test_along_eigenvectors_the_curvature_is_the_eigenvalue(minimum):
    values = torch.linalg.eigvalsh(torch.autograd.functional.hessian(minimum.loss, minimum.theta))
    step = 1e-3
    for which in ((0, 1), (0, -1), (2, 1)):
        found = SliceProbe(directions="hessian", eigenvectors=which, span=step, resolution=3, at="minimum").measure(
            minimum
        )
        loss = found.arrays["loss"]
        curvature = (loss[0, 1] - 2 * loss[1, 1] + loss[2, 1], loss[1, 0] - 2 * loss[1, 1] + loss[1, 2])
        expected = [float(values[-1 - index]) for index in which]
        np.testing.assert_allclose(np.array(curvature) / step**2, expected, atol=1e-5)
        assert found.about["eigenvalues"] == pytest.approx(expected, abs=1e-9)


def test_a_plane_through_three_points(case):
    """Marks land where they must: on the points themselves, with no distance from the plane."""
    landscape = case[2]
    found = measured(landscape, "points", resolution=3)
    names, marks = found.about["marks"], found.arrays["marks"]
    assert sorted(names) == ["initial", "oracle", "trained"]
    axes = found.arrays["directions"]
    placed = dict(zip(names, marks, strict=True))
    np.testing.assert_allclose(placed["trained"], np.zeros(3), atol=1e-12)
    for name in ("initial", "oracle"):
        back = landscape.theta.numpy() + placed[name][:2] @ axes
        np.testing.assert_allclose(back, landscape.points[name].numpy(), atol=1e-10)
        assert placed[name][2] == pytest.approx(0.0, abs=1e-10)
    assert placed["initial"][1] == pytest.approx(0.0, abs=1e-12)  # the first direction points at the first point
    assert np.abs(marks[:, :2]).max() == pytest.approx(1.0, abs=1e-12)  # the farthest coordinate is one unit
    lengths = np.linalg.norm(axes, axis=1)
    np.testing.assert_allclose(lengths, lengths[0], atol=1e-12)
    assert abs(found.scalars["direction_cosine"]) < 1e-9


def test_a_line_through_a_point(case):
    model, split, landscape = case
    found = measured(landscape, "points", dimensions=1, resolution=3)
    placed = dict(zip(found.about["marks"], found.arrays["marks"], strict=True))
    assert placed["initial"].tolist() == pytest.approx([1.0, 0.0], abs=1e-12)
    assert placed["trained"].tolist() == pytest.approx([0.0, 0.0], abs=1e-12)
    offsets = landscape.points["oracle"] - landscape.theta
    line = landscape.points["initial"] - landscape.theta
    along = offsets @ line / (line @ line)
    assert placed["oracle"].tolist() == pytest.approx([float(along), float((offsets - along * line).norm())], abs=1e-10)
    assert found.arrays["loss"][2] == pytest.approx(by_hand(model, split, landscape.points["initial"])[0], abs=1e-10)


@pytest.mark.parametrize("dimensions", [1, 2])
def test_principal_directions_and_the_distance_of_the_trajectory_from_them(case, dimensions):
    landscape = case[2]
    found = measured(landscape, "pca", dimensions=dimensions, resolution=3)
    steps = (landscape.trajectory - landscape.theta).numpy()
    u, sizes, vectors = np.linalg.svd(steps, full_matrices=False)
    np.testing.assert_allclose(found.about["variance"], (sizes**2 / (sizes**2).sum())[:dimensions], atol=1e-12)
    coordinates = np.abs(u[:, :dimensions] * sizes[:dimensions])
    rest = np.linalg.norm((u[:, dimensions:] * sizes[dimensions:]) @ vectors[dimensions:], axis=1)
    np.testing.assert_allclose(np.abs(found.arrays["trajectory"][:, :-1]) * coordinates.max(), coordinates, atol=1e-9)
    np.testing.assert_allclose(found.arrays["trajectory"][:, -1], rest, atol=1e-9)
    assert np.abs(found.arrays["trajectory"][:, :-1]).max() == pytest.approx(1.0)
    np.testing.assert_allclose(np.linalg.norm(found.arrays["directions"], axis=1), coordinates.max(), atol=1e-9)
    np.testing.assert_allclose(found.arrays["trajectory"][-1], 0.0, atol=1e-9)


@pytest.mark.parametrize("kind", ["random", "filter", "hessian", "points"])
def test_the_trajectory_is_projected_on_every_slice_with_its_distance(case, kind):
    landscape = case[2]
    arrays = measured(landscape, kind, resolution=2).arrays
    axes, steps = arrays["directions"], (landscape.trajectory - landscape.theta).numpy()
    gram = np.linalg.solve(axes @ axes.T, axes @ steps.T).T
    assert arrays["trajectory"].shape == (7, 3)
    np.testing.assert_allclose(arrays["trajectory"][:, :2], gram, atol=1e-9)
    np.testing.assert_allclose(arrays["trajectory"][:, 2], np.linalg.norm(steps - gram @ axes, axis=1), atol=1e-9)


def test_without_a_trajectory_there_is_none(toys):
    split = toys.real_split(8, 4)
    found = Landscape(toys.build(toys.Bend(), split), split).measure(SliceProbe(resolution=3))
    assert "trajectory" not in found.arrays
    assert found.about["marks"] == ["trained"]


def test_lengths_are_logged(case):
    landscape = case[2]
    for kind in KINDS:
        found = measured(landscape, kind, resolution=2)
        lengths = np.linalg.norm(found.arrays["directions"], axis=1)
        logged = [found.scalars["direction_length_1"], found.scalars["direction_length_2"]]
        np.testing.assert_allclose(logged, lengths, atol=1e-12)
        first, second = found.arrays["directions"]
        cosine = first @ second / np.prod(lengths)
        assert found.scalars["direction_cosine"] == pytest.approx(cosine, abs=1e-12)
        if kind in ("random", "hessian"):
            np.testing.assert_allclose(lengths, 1.0, atol=1e-9)
        if kind != "filter":
            assert abs(cosine) < 1e-8


def test_a_seed_and_a_draw_make_a_slice(case):
    landscape = case[2]
    again = Landscape(case[0], case[1], seed=4)
    other = Landscape(case[0], case[1], seed=5)
    for kind in ("random", "filter"):
        first = measured(landscape, kind, resolution=3)
        np.testing.assert_array_equal(first.arrays["loss"], measured(again, kind, resolution=3).arrays["loss"])
        assert not np.array_equal(first.arrays["loss"], measured(other, kind, resolution=3).arrays["loss"])
        assert not np.array_equal(first.arrays["loss"], measured(again, kind, resolution=3, draw=1).arrays["loss"])
        assert first.about["seed"] == 4
        assert first.config["draw"] == 0


@pytest.mark.parametrize("dimensions", [1, 2])
def test_nan_stays_nan(toys, dimensions):
    """log(theta) is not a number for negative theta: there the slice is not either, and rows count as wrong."""
    split = Split(torch.ones(4, 2, dtype=torch.float64), torch.tensor([1, 1, 1, 1]))
    model = toys.build(toys.Logarithm(), split)
    centre = torch.tensor([0.4, 30.0], dtype=torch.float64)
    with torch.no_grad():
        model.theta.copy_(centre)
    points = {"right": centre + torch.tensor([1.0, 0.0]), "up": centre + torch.tensor([0.0, 1.0])}
    landscape = Landscape(model, split, points=points)
    names = ("right", "up")[:dimensions]
    arrays = landscape.measure(
        SliceProbe(directions="points", points=names, dimensions=dimensions, resolution=5)
    ).arrays
    first = 0.4 + arrays["axis"]
    lost = np.isnan(arrays["loss"]).reshape(5, -1)
    assert lost.all(1).tolist() == lost.any(1).tolist() == (first < 0).tolist() == [True, True, False, False, False]
    assert (arrays["accuracy"][:2] == 0.0).all()
    assert (arrays["accuracy"][2:] == 1.0).all()
    expected = np.log1p(1.0 / (first[2:] * 30.0))
    loss = arrays["loss"].reshape(5, -1)
    np.testing.assert_allclose(loss[2:, loss.shape[1] // 2], expected, rtol=1e-12)


def test_a_slice_through_a_diverged_model_is_nan(toys):
    split = toys.real_split(8, 4)
    model = toys.build(toys.Bend(), split)
    with torch.no_grad():
        model.kernel[0, 0] = float("nan")
    landscape = Landscape(model, split)
    for kind in ("random", "filter"):
        found = landscape.measure(SliceProbe(directions=kind, resolution=3))
        assert np.isnan(found.arrays["loss"]).all()
        assert not found.arrays["accuracy"].any()


def test_a_point_that_diverged_does_not_spoil_the_slice(toys):
    """Gradient ascent may end anywhere: its mark has no place, all else is as without it."""
    split = toys.real_split(8, 4)
    model = toys.build(toys.Bend(), split)
    diverged = torch.full((15,), float("nan"))
    alone = Landscape(model, split).measure(SliceProbe(resolution=3))
    found = Landscape(model, split, points={"ascent": diverged}).measure(SliceProbe(resolution=3))
    np.testing.assert_array_equal(found.arrays["loss"], alone.arrays["loss"])
    marks = dict(zip(found.about["marks"], found.arrays["marks"], strict=True))
    assert np.isnan(marks["ascent"]).all()
    np.testing.assert_allclose(marks["trained"], 0.0, atol=1e-12)


def test_a_loss_too_large_for_a_float_of_its_logit_is_finite(toys):
    """exp overflows at 710; the loss of a wrong logit of 10^4 is 10^4."""
    split = Split(torch.ones(2, 1, dtype=torch.float64), torch.tensor([0, 0]))
    model = toys.build(toys.Homogeneous(), split)
    with torch.no_grad():
        model.w.fill_(0.0)
    found = (
        Landscape(model, split).measure(SliceProbe(directions="random", dimensions=1, span=1e4, resolution=3)).arrays
    )
    assert sorted(found["loss"].tolist()) == [0.0, pytest.approx(np.log(2.0)), pytest.approx(1e4)]


def test_at_another_point_and_on_other_samples(toys):
    split, validation = toys.real_split(9, 4), toys.real_split(6, 4, seed=2)
    first, second = (toys.build(toys.Bend(), split, seed=seed) for seed in (0, 1))
    landscape = Landscape(first, split, validation, points={"oracle": second})
    found = landscape.measure(
        SliceProbe(at="oracle", samples="validation", directions="points", points=["trained"], dimensions=1)
    )
    placed = dict(zip(found.about["marks"], found.arrays["marks"], strict=True))
    assert placed["oracle"][0] == pytest.approx(0.0, abs=1e-12)
    assert placed["trained"][0] == pytest.approx(1.0, abs=1e-12)
    assert found.scalars["landscape_loss"] == pytest.approx(by_hand(second, validation, landscape.points["oracle"])[0])
    assert found.arrays["loss"][-1] == pytest.approx(by_hand(first, validation, landscape.theta)[0])
    assert (found.about["centre"], found.about["samples"]) == ("oracle", "validation")


def test_results_say_where_they_are_from(case):
    found = measured(case[2], "hessian", resolution=2)
    assert found.probe == "SliceProbe"
    assert found.view == "slice"
    assert found.config["directions"] == "hessian"
    assert found.config["eigenvectors"] == [0, 1]
    json.dumps([dict(found.about), dict(found.config), dict(found.scalars)])


def test_needs():
    assert SliceProbe().needs() == Needs()
    assert SliceProbe(directions="pca").needs() == Needs(trajectory=True)
    probe = SliceProbe(directions="points", points=("oracle", "trained"), at="initial")
    assert probe.needs().points == ("oracle", "trained")
    assert probe.needed_points == ("initial", "oracle")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"resolution": 1}, r"resolution: got 1, accepts an integer in \[2, 1001\]"),
        ({"resolution": 0}, "resolution: got 0"),
        ({"resolution": -5}, "resolution: got -5"),
        ({"resolution": 1002}, "resolution: got 1002"),
        ({"resolution": 51.0}, r"resolution: got 51\.0, accepts an integer"),
        ({"span": 0.0}, r"span: got 0\.0, accepts a number above 0"),
        ({"span": -1.0}, r"span: got -1\.0"),
        ({"span": float("inf")}, "span: got inf"),
        ({"span": float("nan")}, "span: got nan"),
        ({"dimensions": 3}, "dimensions: got 3, accepts one of 1, 2"),
        ({"directions": "filters"}, 'directions: got "filters".*Did you mean "filter"'),
        ({"draw": -1}, "draw: got -1"),
        ({"directions": "points"}, r"points: got 0, accepts 2 beside the centre"),
        ({"directions": "points", "points": ("a",)}, "points: got 1, accepts 2"),
        ({"directions": "points", "points": ("a", "b"), "dimensions": 1}, "points: got 2, accepts 1"),
        ({"points": ("a", "b")}, 'points: only for directions = "points", not "filter"'),
        ({"directions": "hessian", "eigenvectors": (0, 0)}, r"eigenvectors: got \[0, 0\], accepts 2 different ones"),
        ({"directions": "hessian", "eigenvectors": (3,)}, r"eigenvectors: got \[3\], accepts 2 different ones"),
        ({"directions": "hessian", "eigenvectors": ()}, "eigenvectors: got"),
    ],
)
def test_fields_that_make_no_sense(fields, message):
    with pytest.raises(ConfigError, match=message):
        SliceProbe(**fields)


def test_points_that_make_no_sense(toys):
    split = toys.real_split(8, 4)
    model = toys.build(toys.Bend(), split)
    theta = torch.cat([p.detach().flatten() for p in model.parameters()])
    landscape = Landscape(model, split, points={"same": model, "a": theta + 1.0, "b": theta - 2.0})
    with pytest.raises(DataError, match='"trained" and "same" coincide'):
        landscape.measure(SliceProbe(directions="points", points=("same", "a")))
    for same in (("a", "trained"), ("a", "a")):
        with pytest.raises(ConfigError, match="accepts points that differ"):
            landscape.measure(SliceProbe(directions="points", points=same))
    with pytest.raises(DataError, match="lie on one line"):
        landscape.measure(SliceProbe(directions="points", points=("a", "b")))
    with pytest.raises(ConfigError, match=r'unknown point "orcale".*Choices: a, b, same, trained'):
        landscape.measure(SliceProbe(directions="points", points=("a", "orcale")))
    with pytest.raises(ConfigError, match='unknown point "orcale"'):
        landscape.measure(SliceProbe(at="orcale"))
    with pytest.raises(DataError, match="no training trajectory"):
        landscape.measure(SliceProbe(directions="pca"))


def test_a_plane_needs_two_parameters(toys):
    split = toys.real_split(8, 1)
    landscape = Landscape(toys.build(toys.Homogeneous(), split), split)
    assert landscape.measure(SliceProbe(directions="random", dimensions=1, resolution=3)).arrays["loss"].shape == (3,)
    for kind in ("random", "filter", "hessian"):
        with pytest.raises((ConfigError, DataError), match="parameter"):
            landscape.measure(SliceProbe(directions=kind, dimensions=2, resolution=3))


def test_eigenvectors_counted_from_both_ends_may_be_the_same(toys):
    """With five parameters the largest eigenvalue is number 0 and number -5: they span no plane."""
    split = toys.real_split(8, 4)
    landscape = Landscape(toys.build(toys.Linear(), split), split)
    with pytest.raises((ConfigError, DataError), match="eigenvectors"):
        landscape.measure(SliceProbe(directions="hessian", eigenvectors=(0, -5), resolution=3))


@pytest.mark.parametrize("kind", KINDS)
def test_a_wider_or_finer_slice_has_the_same_directions_and_other_samples_their_own(toys, kind):
    """What a landscape remembers of one slice is what it would find anew."""
    split = toys.real_split(15, 6, seed=4)
    model, initial, other = (toys.build(MLP(hidden=(5, 3), dtype="float64"), split, seed=seed) for seed in range(3))

    def fresh():
        ends = [torch.cat([p.detach().double().flatten() for p in part.parameters()]) for part in (initial, model)]
        trajectory = torch.stack([ends[0], ends[0] + 0.3 * ends[1].cos(), ends[1]])
        points = {"initial": initial, "oracle": other}
        return Landscape(model, split, toys.real_split(15, 6, seed=5), points=points, trajectory=trajectory, seed=4)

    known = fresh()
    asked = [{"resolution": 3}, {"resolution": 5, "span": 2.0}, {"resolution": 3, "samples": "validation"}]
    asked += [{"resolution": 3, "at": "oracle"}] if kind in ("random", "filter", "hessian") else []
    asked += [{"resolution": 3, "draw": 1}, {"resolution": 3, "dimensions": 1}, {"resolution": 3}]
    for fields in asked:
        found, expected = measured(known, kind, **fields), measured(fresh(), kind, **fields)
        assert found.scalars == pytest.approx(expected.scalars, abs=1e-12)
        assert list(found.arrays) == list(expected.arrays)
        for name, array in found.arrays.items():  # the last bits depend on where in memory numbers lie
            np.testing.assert_allclose(array, expected.arrays[name], rtol=1e-9, atol=1e-12)
