"""A probe of a user, in ten lines."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch

from qlab import registry
from qlab.errors import ConfigError, DataError
from qlab.fields import PositiveFloat
from qlab.landscape import Landscape, LandscapeProbe, Needs, ProbeResult


class Sharpness(LandscapeProbe):
    """How much the loss rises at most at random points on a sphere.

    Args:
        radius: of the sphere.
    """

    formula: ClassVar[str] = "max L(theta + d) - L(theta), |d| = radius"

    radius: PositiveFloat = 0.1

    def compute(self, landscape: Landscape) -> ProbeResult:
        generator = torch.Generator().manual_seed(landscape.seed)
        steps = torch.randn(50, landscape.n_parameters, generator=generator, dtype=torch.float64)
        steps = self.radius * steps / steps.norm(dim=1, keepdim=True)
        loss, _ = landscape.evaluate_points(torch.cat([landscape.theta[None], landscape.theta + steps]))
        return ProbeResult({"sharpness": float(loss.max() - loss[0])}, {"rise": (loss - loss[0]).numpy()})


class Distance(LandscapeProbe):
    """The distance to a point that the landscape must have."""

    to: str = "oracle"

    def needs(self) -> Needs:
        return Needs(points=(self.to, "trained"))

    def compute(self, landscape: Landscape) -> ProbeResult:
        return ProbeResult(
            {"distance": float((landscape.at(self.to).theta - landscape.theta).norm())}, about={"to": self.to}
        )


@pytest.fixture(scope="module")
def landscape(toys):
    split = toys.real_split(12, 3)
    model, other = (toys.build(toys.Linear(), split, seed=seed) for seed in (0, 1))
    return Landscape(model, split, toys.real_split(5, 3, seed=9), points={"oracle": other}, seed=2)


def test_a_probe_of_a_user(landscape, tmp_path):
    probe = Sharpness(radius=0.5, samples="validation", n_samples=4)
    found = probe.measure(landscape)
    assert 0.0 < found.scalars["sharpness"] < 2.0
    assert found.arrays["rise"].shape == (51,)
    assert found.probe == "Sharpness"
    assert found.config == {"samples": "validation", "n_samples": 4, "at": "trained", "step": -1, "radius": 0.5}
    assert (found.about["rows"], found.about["samples"], found.about["seed"]) == (4, "validation", 2)
    loaded = ProbeResult.load(found.save(tmp_path / "sharpness"))
    assert loaded.scalars == found.scalars
    np.testing.assert_array_equal(loaded.arrays["rise"], found.arrays["rise"])
    assert (loaded.probe, loaded.config, loaded.about) == (found.probe, found.config, found.about)


def test_the_loss_rises_more_farther_out(landscape):
    rises = [Sharpness(radius=radius).measure(landscape).scalars["sharpness"] for radius in (0.01, 0.1, 1.0)]
    assert rises == sorted(rises)


def test_it_is_measured_where_its_fields_say(landscape):
    assert Sharpness(at="oracle").measure(landscape).about["centre"] == "oracle"
    moved = Sharpness(at="oracle").measure(landscape).scalars["sharpness"]
    assert moved != Sharpness().measure(landscape).scalars["sharpness"]
    assert Distance(at="oracle").measure(landscape).scalars["distance"] == 0.0
    expected = float((landscape.points["oracle"] - landscape.theta).norm())
    assert Distance().measure(landscape).scalars["distance"] == pytest.approx(expected)


def test_what_it_needs():
    assert Sharpness().needs() == Needs((), False, False)
    assert Distance(to="Scrub").needed_points == ("Scrub",)
    assert Distance(to="Scrub", at="initial").needed_points == ("initial", "Scrub")


def test_what_it_says_of_itself_is_kept(landscape):
    about = Distance().measure(landscape).about
    assert about["to"] == "oracle"
    assert about["model"]["type"] == "Linear"


def test_bad_input_of_a_user(landscape):
    with pytest.raises(ConfigError, match=r"Sharpness: radius: got -1.0, accepts a number above 0"):
        Sharpness(radius=-1.0)
    with pytest.raises(DataError, match='no samples "retain" here'):
        Sharpness(samples="retain").measure(landscape)
    with pytest.raises(ConfigError, match='unknown point "Scrub"'):
        Distance(to="Scrub").measure(landscape)


@pytest.mark.parametrize("found", [{"sharpness": 1.0}, None, 1.0], ids=["a dict", "nothing", "a number"])
def test_a_probe_that_returns_something_else_is_told_what_to_return(landscape, found):
    class Wrong(LandscapeProbe):
        """Does not know what to return."""

        def compute(self, landscape):
            return found

    with pytest.raises(ConfigError, match=r"Wrong\.compute: got .*, accepts a ProbeResult"):
        Wrong().measure(landscape)


def test_probes_are_frozen():
    with pytest.raises(AttributeError):
        Sharpness().radius = 2.0
    assert Sharpness() == Sharpness(radius=0.1) != Sharpness(radius=0.2)


def test_a_probe_without_compute():
    class Nothing(LandscapeProbe):
        """Forgot something."""

    with pytest.raises(TypeError, match="compute"):
        Nothing()


@pytest.mark.parametrize("name", ["HessianProbe", "SliceProbe", "InterpolationProbe", "RougheningProbe"])
def test_probes_are_found_by_name(name):
    cls = registry.find("probe", name)
    assert cls.__name__ == name
    assert cls.formula
    assert cls.source
    assert cls().config()
