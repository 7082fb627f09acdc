"""Interpolation: known barriers, paths of several lines, and lines that are none."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qlab.errors import ConfigError, DataError
from qlab.landscape import InterpolationProbe, Landscape
from qlab.models import MLP, PennyLaneQNN
from qlab.tasks import Split


def softplus(z):
    return math.log1p(math.exp(-abs(z))) + max(z, 0.0)


@pytest.fixture(scope="module")
def well(toys):
    """The loss log(1 + exp(-theta^2)) of one parameter, by the points theta = 1."""
    split = Split(torch.ones(3, 1, dtype=torch.float64), torch.ones(3, dtype=torch.int64))
    model = toys.build(toys.Square(), split)
    with torch.no_grad():
        model.theta.fill_(1.0)
    points = {name: torch.tensor([value]) for name, value in {"left": -1.0, "far": 3.0, "zero": 0.0}.items()}
    return Landscape(model, split, points=points)


def test_a_known_barrier(well):
    """Two minima at -1 and 1, equally deep: the barrier is log 2 - log(1 + 1/e), half way."""
    found = InterpolationProbe(path=("left", "trained"), resolution=21).measure(well)
    assert found.scalars["barrier"] == pytest.approx(math.log(2.0) - math.log1p(math.exp(-1.0)), abs=1e-12)
    assert found.scalars["distance_1"] == pytest.approx(2.0, abs=1e-12)
    t = np.linspace(0.0, 1.0, 21)
    np.testing.assert_allclose(found.arrays["loss"], [[softplus(-((2 * s - 1) ** 2)) for s in t]], atol=1e-12)
    np.testing.assert_allclose(found.arrays["position"], [2.0 * t], atol=1e-12)
    assert found.arrays["accuracy"].shape == (1, 21)
    assert found.arrays["accuracy"][0, 10] == 0.0  # a logit of zero says class 0
    assert found.arrays["accuracy"][0, 0] == 1.0


def test_a_barrier_is_measured_from_the_straight_line_between_the_ends(well):
    """Ends of different height: the line between them is what is exceeded, not the higher end."""
    found = InterpolationProbe(path=("zero", "far"), resolution=301).measure(well)
    t = np.linspace(0.0, 1.0, 301)
    loss = np.array([softplus(-((3 * s) ** 2)) for s in t])
    assert found.scalars["barrier"] == pytest.approx(max(loss - (1 - t) * loss[0] - t * loss[-1]), abs=1e-12)
    assert found.scalars["barrier"] < loss[0] - loss[-1]
    assert max(loss) == loss[0]


def test_a_path_of_three_lines(well):
    found = InterpolationProbe(path=("left", "trained", "far", "zero"), resolution=11).measure(well)
    barriers = [found.scalars[f"barrier_{line}"] for line in (1, 2, 3)]
    assert found.scalars["barrier"] == max(barriers) == barriers[0]
    assert "barrier_4" not in found.scalars
    assert [found.scalars[f"distance_{line}"] for line in (1, 2, 3)] == pytest.approx([2.0, 2.0, 3.0])
    assert found.arrays["loss"].shape == found.arrays["accuracy"].shape == found.arrays["position"].shape == (3, 11)
    assert found.arrays["position"][:, 0].tolist() == pytest.approx([0.0, 2.0, 4.0])
    assert found.arrays["position"][:, -1].tolist() == pytest.approx([2.0, 4.0, 7.0])
    np.testing.assert_allclose(found.arrays["loss"][:-1, -1], found.arrays["loss"][1:, 0], atol=1e-14)
    assert found.about["path"] == ["left", "trained", "far", "zero"]
    assert found.view == "path"


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 20.0))
def test_a_convex_loss_has_no_barrier(toys, seed, spread):
    split = toys.real_split(12, 3, seed=seed)
    ends = [toys.build(toys.Linear(), split, seed=seed + k, spread=spread) for k in range(2)]
    found = Landscape(ends[0], split, points={"other": ends[1]}).measure(
        InterpolationProbe(path=("trained", "other"), resolution=15)
    )
    assert found.scalars["barrier"] == pytest.approx(0.0, abs=1e-12)
    assert found.scalars["barrier"] >= 0.0


@pytest.mark.parametrize("kind", ["mlp", "ring", "loop"])
def test_every_point_of_a_line(toys, kind):
    models = {
        "mlp": MLP(hidden=(4, 3), dtype="float64"),
        "ring": PennyLaneQNN(depth=2, entangler="ring"),
        "loop": toys.Loop(),
    }
    split = toys.states(6, 3) if kind == "ring" else toys.real_split(9, 4)
    first, second, third = (toys.build(models[kind], split, seed=seed) for seed in range(3))
    landscape = Landscape(first, split, points={"second": second, "third": third})
    found = landscape.measure(InterpolationProbe(path=("second", "third"), resolution=4))
    ends = landscape.points["second"], landscape.points["third"]
    distance = float((ends[1] - ends[0]).norm())
    assert found.scalars["distance_1"] == pytest.approx(distance)
    for k, t in enumerate((0.0, 1 / 3, 2 / 3, 1.0)):
        theta = (1 - t) * ends[0] + t * ends[1]
        expected = float(landscape.loss(theta))
        assert found.arrays["loss"][0, k] == pytest.approx(expected, abs=1e-10)
        assert found.arrays["position"][0, k] == pytest.approx(t * distance)
    with torch.no_grad():
        right = (third(third.prepare(split.x)) > 0) == (split.y == 1)
    assert found.arrays["accuracy"][0, -1] == pytest.approx(float(right.double().mean()))


def test_the_line_on_the_validation_split(toys):
    split, validation = toys.real_split(9, 4), toys.real_split(7, 4, seed=8)
    first, second = (toys.build(toys.Bend(), split, seed=seed) for seed in range(2))
    landscape = Landscape(first, split, validation, points={"oracle": second})
    found = InterpolationProbe(path=("trained", "oracle"), resolution=5, n_samples=6).measure(landscape).arrays
    apart = Landscape(first, validation, points={"oracle": second})
    alone = apart.measure(InterpolationProbe(path=("trained", "oracle"), resolution=5)).arrays
    np.testing.assert_allclose(found["validation_loss"], alone["loss"], atol=1e-13)
    np.testing.assert_allclose(found["validation_accuracy"], alone["accuracy"], atol=1e-13)
    assert "validation_loss" not in alone
    assert not np.allclose(found["loss"], found["validation_loss"])


def test_a_reference_needs_no_validation_split(toys):
    """A line has nothing to do with the clean twin: whatever that lacks does not matter here."""
    split, validation = toys.real_split(9, 4), toys.real_split(7, 4, seed=8)
    first, second, clean = (toys.build(toys.Bend(), split, seed=seed) for seed in range(3))
    landscape = Landscape(first, split, validation, points={"oracle": second}, reference=Landscape(clean, split))
    assert landscape.measure(InterpolationProbe(path=("trained", "oracle"))).scalars["barrier"] >= 0.0


def test_a_line_through_nan(toys):
    """log(theta) between -1 and 1: no number on half of the line, hence no barrier either."""
    split = Split(torch.ones(2, 1, dtype=torch.float64), torch.tensor([0, 1]))
    model = toys.build(toys.Logarithm(), split)
    with torch.no_grad():
        model.theta.fill_(1.0)
    landscape = Landscape(model, split, points={"left": torch.tensor([-1.0]), "right": torch.tensor([3.0])})
    found = landscape.measure(InterpolationProbe(path=("right", "trained", "left"), resolution=10))
    assert np.isnan(found.arrays["loss"]).tolist() == [[False] * 10, [False] * 5 + [True] * 5]
    assert math.isfinite(found.scalars["barrier_1"])
    assert math.isnan(found.scalars["barrier_2"])
    assert math.isnan(found.scalars["barrier"])


def test_two_points_are_enough_and_have_no_barrier(well):
    found = InterpolationProbe(path=("left", "trained"), resolution=2).measure(well)
    assert found.scalars["barrier"] == 0.0
    assert found.arrays["loss"].shape == (1, 2)


def test_needs():
    probe = InterpolationProbe(path=("trained", "Scrub", "oracle"))
    assert probe.needs().points == ("trained", "Scrub", "oracle")
    assert probe.needed_points == ("Scrub", "oracle")
    assert InterpolationProbe().needed_points == ("initial",)


@pytest.mark.parametrize("path", [("left", "same"), ("same", "left"), ("zero", "left", "same")])
def test_checkpoints_that_coincide(well, path):
    points = {**well.points, "same": well.points["left"].clone()}
    points.pop("trained")
    landscape = Landscape(well.model, Split(torch.ones(3, 1, dtype=torch.float64), torch.ones(3).long()), points=points)
    with pytest.raises(DataError, match=f'"{path[-2]}" and "{path[-1]}" coincide'):
        landscape.measure(InterpolationProbe(path=tuple(path)))


def test_a_line_from_a_point_to_itself():
    with pytest.raises(ConfigError, match='path: got "trained" twice in a row'):
        InterpolationProbe(path=("initial", "trained", "trained"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"path": ("trained",)}, r'path: got \["trained"\], accepts a list'),
        ({"path": ()}, r"path: got \[\]"),
        ({"path": "trained"}, 'path: got "trained"'),
        ({"resolution": 1}, r"resolution: got 1, accepts an integer in \[2, 10001\]"),
        ({"resolution": 10_002}, "resolution: got 10002"),
    ],
)
def test_fields_that_make_no_sense(fields, message):
    with pytest.raises(ConfigError, match=message):
        InterpolationProbe(**fields)


def test_a_point_that_is_not_there(well):
    with pytest.raises(ConfigError, match=r'unknown point "rigt".*Choices: far, left, trained, zero'):
        well.measure(InterpolationProbe(path=("left", "rigt")))
    with pytest.raises(ConfigError, match="path"):
        well.measure(InterpolationProbe(path=("left",)))
