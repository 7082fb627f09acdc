"""The landscape roughening ratio: pairs, intervals, tiny denominators and collapsed models."""

from __future__ import annotations

import math

import holoviews as hv
import numpy as np
import pytest
import torch

from qlab.corruptions import Corrupted, LabelFlip
from qlab.errors import ConfigError, DataError
from qlab.landscape import Landscape, RougheningProbe
from qlab.models import MLP, PennyLaneQNN
from qlab.tasks import Split
from qlab.views.landscape import draw


@pytest.fixture(scope="module")
def data(toys):
    """A clean split and the same with a third of its labels flipped."""
    split = toys.real_split(24, 5, seed=9)
    return split, LabelFlip(ratio=1 / 3).apply(split, None, torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def pairs(toys, data):
    """Four pairs of landscapes, by seed, of models that are not trained but differ."""
    clean, polluted = data

    def mlp(seed):
        return toys.build(MLP(hidden=(4, 3), dtype="float64"), clean, seed=seed)

    return (
        [Landscape(mlp(seed), polluted, seed=seed) for seed in range(4)],
        [Landscape(mlp(100 + seed), clean, seed=seed) for seed in range(4)],
    )


def dense_trace(landscape):
    return float(torch.autograd.functional.hessian(landscape.loss, landscape.theta).trace())


def pair(toys, data, **changed):
    clean, polluted = data
    models = [toys.build(PennyLaneQNN(depth=2) if changed.get("qnn") else toys.Bend(), clean, seed=s) for s in (0, 1)]
    reference = Landscape(models[1], clean, seed=changed.get("reference_seed", 3))
    return Landscape(models[0], polluted, reference=reference, seed=3), reference


def test_one_pair(toys, data):
    landscape, reference = pair(toys, data)
    found = RougheningProbe().measure(landscape)
    polluted, clean = dense_trace(landscape), dense_trace(reference)
    assert found.scalars["lrr"] == pytest.approx(polluted / clean, abs=1e-10)
    assert found.scalars["hessian_trace"] == pytest.approx(polluted, abs=1e-10)
    assert found.scalars["hessian_trace_clean"] == pytest.approx(clean, abs=1e-10)
    for suffix in ("", "_clean"):
        name = f"hessian_trace{suffix}"
        terms = found.scalars[f"{name}_a"] + found.scalars[f"{name}_b"]
        assert terms == pytest.approx(found.scalars[name], abs=1e-12)
        assert found.scalars[f"{name}_error"] == 0.0
    assert found.scalars["hessian_trace_b"] != 0.0


def test_each_is_measured_with_the_labels_it_was_trained_on(toys, data):
    """The same model on both: what differs is the second term, mean (p - y) tr(d2z)."""
    clean, polluted = data
    model = toys.build(toys.Bend(), clean)
    landscape = Landscape(model, polluted, reference=Landscape(model, clean))
    scalars = RougheningProbe().measure(landscape).scalars
    assert scalars["hessian_trace_a"] == pytest.approx(scalars["hessian_trace_clean_a"], abs=1e-12)
    assert scalars["hessian_trace_b"] != pytest.approx(scalars["hessian_trace_clean_b"], abs=1e-3)


def test_a_model_against_itself_has_ratio_one(toys, data):
    clean, _ = data
    landscape = Landscape(toys.build(toys.Bend(), clean), clean)
    found = RougheningProbe().compare([landscape] * 3, [landscape] * 3)
    assert found.scalars["lrr"] == found.scalars["lrr_low"] == found.scalars["lrr_high"] == 1.0
    assert found.scalars["lrr_of_means"] == 1.0
    assert found.scalars["lrr_std"] == 0.0


def test_pairs(pairs):
    found = RougheningProbe().compare(*pairs)
    polluted, clean = ([dense_trace(landscape) for landscape in side] for side in pairs)
    ratios = np.divide(polluted, clean)
    np.testing.assert_allclose(found.arrays["lrr"], ratios, atol=1e-9)
    np.testing.assert_allclose(found.arrays["hessian_trace"], polluted, atol=1e-10)
    np.testing.assert_allclose(found.arrays["hessian_trace_clean"], clean, atol=1e-10)
    assert found.scalars["lrr"] == pytest.approx(sum(ratios) / 4)
    assert found.scalars["lrr_std"] == pytest.approx(math.sqrt(sum((ratios - ratios.mean()) ** 2) / 3))
    assert found.scalars["lrr_of_means"] == pytest.approx(sum(polluted) / sum(clean))
    assert found.scalars["lrr"] != pytest.approx(found.scalars["lrr_of_means"], rel=1e-3)
    assert min(ratios) <= found.scalars["lrr_low"] < found.scalars["lrr"] < found.scalars["lrr_high"] <= max(ratios)
    assert found.about["seeds"] == [0, 1, 2, 3]
    assert found.probe == "RougheningProbe"


def test_pairs_are_compared_in_order(pairs):
    polluted, clean = pairs
    straight = RougheningProbe().compare(polluted, clean).arrays["lrr"]
    backwards = RougheningProbe().compare(polluted[::-1], clean[::-1]).arrays["lrr"]
    np.testing.assert_allclose(backwards, straight[::-1], atol=1e-12)


def test_a_pair_measured_alone_is_the_pair_compared(toys, data):
    landscape, reference = pair(toys, data)
    for probe in (RougheningProbe(), RougheningProbe(n_samples=7)):
        alone, compared = probe.measure(landscape), probe.compare([landscape], [reference])
        assert alone.scalars["lrr"] == pytest.approx(float(compared.arrays["lrr"][0]), abs=1e-12)


def test_at_another_point_a_pair_measured_alone_is_the_pair_compared(toys, data):
    clean, polluted = data
    trained, other, initial = (toys.build(toys.Bend(), clean, seed=seed) for seed in range(3))
    reference = Landscape(other, clean, points={"initial": initial})
    landscape = Landscape(trained, polluted, points={"initial": initial}, reference=reference)
    probe = RougheningProbe(at="initial")
    alone, compared = probe.measure(landscape), probe.compare([landscape], [reference])
    assert alone.scalars["lrr"] == pytest.approx(float(compared.arrays["lrr"][0]), abs=1e-12)


@pytest.mark.parametrize("reference_seed", [3, 0], ids=["same seed", "the default seed"])
def test_both_models_are_measured_on_the_same_rows(toys, data, reference_seed):
    landscape, _ = pair(toys, data, reference_seed=reference_seed)
    moved = landscape.on("train", 8)
    assert torch.equal(moved.x, moved.reference.x)
    probe = RougheningProbe(n_samples=8)
    rows = [int((data[0].x == row).all(1).nonzero()) for row in moved.x]
    expected = [
        Landscape(side.model, Split(data[0].x[rows], y[rows]))
        for side, y in ((landscape, data[1].split.y), (landscape.reference, data[0].y))
    ]
    found = probe.measure(landscape).scalars
    assert found["hessian_trace"] == pytest.approx(dense_trace(expected[0]), abs=1e-10)
    assert found["hessian_trace_clean"] == pytest.approx(dense_trace(expected[1]), abs=1e-10)


def test_both_models_are_measured_on_the_same_retained_rows(toys, data):
    """The clean twin of a trial has nothing corrupted: its retain set is not that of the polluted model."""
    clean, polluted = data
    nothing = LabelFlip(ratio=0.0).apply(clean, None, torch.Generator().manual_seed(0))
    models = [toys.build(toys.Bend(), clean, seed=seed) for seed in (0, 1)]
    landscape = Landscape(models[0], polluted, reference=Landscape(models[1], nothing))
    moved = landscape.on("retain")
    assert len(moved.y) == 16
    assert torch.equal(moved.x, moved.reference.x)


def test_retained_rows_can_be_given_to_the_reference(toys, data):
    clean, polluted = data
    twin = Corrupted(clean, polluted.mask, clean.y)
    models = [toys.build(toys.Bend(), clean, seed=seed) for seed in (0, 1)]
    landscape = Landscape(models[0], polluted, reference=Landscape(models[1], twin))
    found = RougheningProbe(samples="retain").measure(landscape).scalars
    keep = ~polluted.mask
    kept = [Landscape(model, Split(clean.x[keep], clean.y[keep])) for model in models]
    assert found["lrr"] == pytest.approx(dense_trace(kept[0]) / dense_trace(kept[1]), abs=1e-10)


def test_a_landscape_without_a_reference(toys, data):
    with pytest.raises(DataError, match=r"give the landscape a reference, or use RougheningProbe\(\)\.compare"):
        RougheningProbe().measure(Landscape(toys.build(toys.Bend(), data[0]), data[1]))
    assert RougheningProbe().needs().reference


@pytest.mark.parametrize(("n", "m"), [(2, 3), (3, 2), (0, 1), (0, 0)])
def test_landscapes_without_a_partner(pairs, n, m):
    with pytest.raises(DataError, match=f"in pairs, got {n} polluted and {m} clean"):
        RougheningProbe().compare(pairs[0][:n], pairs[1][:m])


def test_a_single_pair_has_no_spread(pairs):
    found = RougheningProbe().compare(pairs[0][:1], pairs[1][:1]).scalars
    assert found["lrr"] == pytest.approx(found["lrr_of_means"])
    assert all(math.isnan(found[name]) for name in ("lrr_std", "lrr_low", "lrr_high"))


@pytest.fixture
def flat(toys):
    """A landscape whose trace is zero."""
    split = Split(torch.zeros(24, 5, dtype=torch.float64), torch.arange(24) % 2)
    return Landscape(toys.build(toys.Homogeneous(), split), split)


def test_a_clean_trace_of_zero_has_no_ratio(toys, data, flat):
    landscape = Landscape(toys.build(toys.Bend(), data[0]), data[1], reference=flat)
    found = RougheningProbe().measure(landscape).scalars
    assert "lrr" not in found
    assert found["hessian_trace_clean"] == 0.0
    assert found["hessian_trace"] == pytest.approx(dense_trace(landscape), abs=1e-10)


def test_a_pair_without_a_clean_trace_is_left_out_with_the_reason(pairs, flat):
    """The ratio of means is that of all traces."""
    polluted, clean = pairs[0][:3], [flat, *pairs[1][1:3]]
    found = RougheningProbe().compare(polluted, clean)
    assert not math.isfinite(found.arrays["lrr"][0])
    assert np.isfinite(found.arrays["lrr"][1:]).all()
    assert found.scalars["lrr"] == pytest.approx(found.arrays["lrr"][1:].mean())
    assert (found.scalars["kept"], found.scalars["pairs"]) == (2, 3)
    [(pair, why)] = found.about["left_out"].items()
    assert pair.startswith("pair 0 (seed")
    assert "the clean trace 0 is of the order of rounding" in why
    means = [np.mean([dense_trace(landscape) for landscape in side]) for side in (polluted, clean)]
    assert found.scalars["lrr_of_means"] == pytest.approx(means[0] / means[1], abs=1e-9)


def rounding(toys, factor, reference=None):
    """A landscape whose trace is of the order of machine precision."""
    generator = torch.Generator().manual_seed(3)
    split = Split(factor * torch.randn(24, 5, dtype=torch.float64, generator=generator), torch.arange(24) % 2)
    return Landscape(toys.build(toys.Homogeneous(), split), split, reference=reference)


def test_traces_of_rounding_have_no_ratio(toys, data):
    def steep(reference=None):
        return Landscape(toys.build(toys.Linear(), data[0]), data[1], reference=reference)

    def flat(reference=None):
        return rounding(toys, 1e-8, reference)

    assert 0 < abs(RougheningProbe().trace(flat()).total) < 1e-14
    for of_polluted, of_clean, named in ((steep, flat, "clean"), (flat, steep, "polluted"), (flat, flat, "clean")):
        polluted, clean = of_polluted(), of_clean()
        alone = RougheningProbe().measure(of_polluted(clean))
        assert "lrr" not in alone.scalars
        assert alone.about["left_out"]["lrr"].startswith(f"the {named} trace ")
        compared = RougheningProbe().compare([polluted], [clean])
        assert all(math.isnan(compared.scalars[name]) for name in compared.scalars if name.startswith("lrr"))
        assert (compared.scalars["kept"], compared.scalars["pairs"]) == (0, 1)
        [why] = compared.about["left_out"].values()
        assert "is of the order of rounding" in why
        assert "left out" in str(draw(alone).dframe())
        assert "0 of 1 pairs" in str(hv.Store.lookup_options("bokeh", draw(compared), "plot").kwargs["title"])


def test_small_traces_above_rounding_have_one(toys):
    one, other = rounding(toys, 1e-5), rounding(toys, 2e-5)
    assert RougheningProbe().compare([other], [one]).scalars["lrr"] == pytest.approx(4.0, rel=1e-3)


def test_zero_over_zero_is_not_a_number(pairs, flat):
    found = RougheningProbe().compare([flat, flat], [flat, flat])
    assert np.isnan(found.arrays["lrr"]).all()
    assert all(math.isnan(found.scalars[name]) for name in found.scalars if name.startswith("lrr"))


def test_a_tiny_denominator_is_seen_beside_the_ratio(toys, data):
    """Clean weights ten times as large: saturated, hence flat. The ratio is large, the traces say why."""
    clean, polluted = data
    model, sharp = (toys.build(toys.Linear(), clean, seed=1, spread=spread) for spread in (1.0, 30.0))
    found = RougheningProbe().compare([Landscape(model, polluted)], [Landscape(sharp, clean)])
    assert found.scalars["lrr"] > 3
    assert found.arrays["hessian_trace_clean"][0] < 0.5 * found.arrays["hessian_trace"][0]


@pytest.mark.parametrize("side", [0, 1], ids=["polluted", "clean"])
def test_collapsed_models_are_left_out_only_on_demand(toys, data, pairs, side):
    """A dead network has trace p (1 - p) = 0.25; it is shown with its trace either way."""
    dead = Landscape(toys.dead_mlp(data[0]), data[side] if side == 0 else data[1].split, seed=2)
    pair_lists = [list(pairs[0]), list(pairs[1])]
    pair_lists[side][2] = dead
    kept = RougheningProbe().compare(*pair_lists)
    assert kept.arrays[("hessian_trace", "hessian_trace_clean")[side]][2] == pytest.approx(0.25)
    ratios = np.divide(*([dense_trace(landscape) for landscape in landscapes] for landscapes in pair_lists))
    assert kept.scalars["lrr"] == pytest.approx(ratios.mean())
    left_out = RougheningProbe(keep_collapsed=False).compare(*pair_lists)
    assert left_out.scalars["lrr"] == pytest.approx(ratios[[0, 1, 3]].mean())


def test_a_diverged_model_makes_no_ratio(toys, data, pairs):
    model = toys.build(MLP(hidden=(4, 3), dtype="float64"), data[0])
    with torch.no_grad():
        model.kernels[0].fill_(float("nan"))
    found = RougheningProbe().compare([Landscape(model, data[1]), *pairs[0][1:]], pairs[1])
    assert np.isnan(found.arrays["lrr"]).tolist() == [True, False, False, False]
    assert found.scalars["lrr"] == pytest.approx(found.arrays["lrr"][1:].mean())
    assert list(found.about["left_out"].values()) == ["the polluted trace is not finite"]


def test_estimated_traces_come_with_their_errors(toys):
    split = toys.real_split(10, 20)
    reference = Landscape(toys.build(toys.Bend(), split, seed=1, spread=0.5), split)
    landscape = Landscape(toys.build(toys.Bend(), split, spread=0.5), split, reference=reference)
    found = RougheningProbe(exact_below=0, estimator="hutchinson", matvecs=50).measure(landscape).scalars
    for suffix, side in (("", landscape), ("_clean", reference)):
        error = found[f"hessian_trace{suffix}_error"]
        assert error > 0.0
        assert abs(found[f"hessian_trace{suffix}"] - dense_trace(side)) < 3.0 * error


def test_points_that_one_side_lacks(pairs):
    with pytest.raises(ConfigError, match='unknown point "oracle"'):
        RougheningProbe(at="oracle").compare(*pairs)
