"""KLoM against the published formula written out row by row, and where it must be zero."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import entropy

from qlab.audits import klom, klom_excess, klom_floor, margins
from qlab.errors import DataError

MARGINS = arrays(float, (24, 3), elements=st.floats(-300.0, 300.0, width=32))


def by_rows(unlearned, oracles, bins):
    """One histogram after the other, with NumPy's and SciPy's own."""
    found = []
    for p, q in zip(np.clip(unlearned, -100, 100).T, np.clip(oracles, -100, 100).T, strict=True):
        low, high = min(p.min(), q.min()), max(p.max(), q.max())
        edges = np.linspace(low, high if high > low else low + 1.0, bins + 1)
        p_bins, q_bins = (np.histogram(part, edges)[0] / len(part) for part in (p, q))
        found.append(entropy(p_bins, np.where(p_bins > 0, np.maximum(q_bins, 1e-5), q_bins)))
    return np.array(found)


def test_it_is_the_divergence_of_two_histograms_for_each_row():
    rng = np.random.default_rng(0)
    unlearned, oracles = rng.normal(1.0, 2.0, (70, 9)), rng.normal(0.0, 3.0, (100, 9))
    np.testing.assert_allclose(klom(unlearned, oracles), by_rows(unlearned, oracles, 20), atol=1e-12)
    np.testing.assert_allclose(klom(unlearned, oracles, bins=7), by_rows(unlearned, oracles, 7), atol=1e-12)


def test_the_direction_is_from_unlearned_models_to_oracles():
    """Unlearned models that keep to a part of where oracles are differ little, the other way round much."""
    narrow, wide = np.linspace(0.0, 0.9, 40)[:, None], np.linspace(0.0, 19.0, 40)[:, None]
    assert klom(narrow, wide)[0] == pytest.approx(np.log(20.0))  # all in the first of 20 bins
    assert klom(wide, narrow)[0] > 7.0


def test_many_draws_of_two_normal_distributions_come_near_their_divergence():
    rng = np.random.default_rng(1)
    shift = 0.7
    found = klom(rng.normal(shift, 1.0, (200_000, 1)), rng.normal(0.0, 1.0, (200_000, 1)))[0]
    assert found == pytest.approx(shift**2 / 2.0, rel=0.1)


@settings(max_examples=50, deadline=None)
@given(MARGINS, st.permutations(range(24)))
def test_it_is_zero_for_the_same_margins_in_any_order_and_never_negative(values, order):
    np.testing.assert_array_equal(klom(values, values[list(order)]), 0.0)
    assert (klom(values[:11], values[11:]) >= 0.0).all()
    assert (klom(values, -values) <= np.log(1.0 + 1e5) + 1e-9).all()


def test_the_floor_is_that_of_halves_and_the_excess_of_oracles_is_about_zero():
    rng = np.random.default_rng(2)
    oracles, others = rng.normal(0.0, 1.0, (100, 400)), rng.normal(0.0, 1.0, (100, 400))
    first, second = oracles[:50], oracles[50:]
    both = (by_rows(first, second, 20) + by_rows(second, first, 20)) / 2.0
    np.testing.assert_allclose(klom_floor(oracles), both, atol=1e-12)
    excess = klom_excess(others, oracles)
    assert abs(excess.mean()) < 3.0 * excess.std() / 20.0 + 0.02
    assert klom_excess(others + 2.0, oracles).mean() > 1.0
    # Few models differ from oracles by their number alone; the floor takes as many.
    few = klom_excess(others[:20], oracles)
    assert klom(others[:20], oracles).mean() > klom(others, oracles).mean()
    assert abs(few.mean()) < 0.15


def test_margins_of_two_classes_are_differences_of_logits():
    z, y = np.array([[2.0, -1.0, 0.5]]), np.array([1, 0, 0])
    logits = np.stack([np.zeros_like(z), z], axis=-1)  # of class 0 and class 1
    own = np.take_along_axis(logits, y[None, :, None], -1)[..., 0]
    other = np.take_along_axis(logits, 1 - y[None, :, None], -1)[..., 0]
    np.testing.assert_allclose(margins(z, y), own - other)


def test_what_does_not_fit_is_refused():
    good = np.zeros((30, 4))
    for wrong in (np.zeros(30), np.zeros((30, 5)), np.full((30, 4), np.nan)):
        with pytest.raises(DataError, match="unlearned models"):
            klom(wrong, good)
    with pytest.raises(DataError, match="1 models, accepts at least 2"):
        klom_floor(good[:1])
