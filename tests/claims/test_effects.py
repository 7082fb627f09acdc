"""Differences and ratios: estimates, bounds and tests."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from qlab.claims.effects import Effect

A = np.array([0.95, 0.97, 0.93, 0.96, 0.94])
B = np.array([0.71, 0.75, 0.74, 0.70, 0.69])


def test_bounds_of_a_paired_difference_are_students():
    effect = Effect(A, B)
    half = stats.t.isf(0.05, 4) * (A - B).std(ddof=1) / np.sqrt(5)
    assert effect.estimate == pytest.approx((A - B).mean())
    assert effect.lower(0.05) == pytest.approx((A - B).mean() - half, abs=1e-12)
    assert effect.upper(0.05) == pytest.approx((A - B).mean() + half, abs=1e-12)


def test_bounds_of_two_groups_are_welchs():
    found = stats.ttest_ind(A, B[:4], equal_var=False).confidence_interval(0.9)
    effect = Effect(A, B[:4], paired=False)
    assert (effect.lower(0.05), effect.upper(0.05)) == pytest.approx((found.low, found.high))


def test_bounds_of_a_ratio_are_fiellers():
    # The roots r of (mean a - r mean b)^2 = t^2 / n (saa - 2 r sab + r^2 sbb).
    t2n = stats.t.isf(0.05, 4) ** 2 / 5
    (saa, sab), (_, sbb) = np.cov(A, B)
    roots = np.roots([B.mean() ** 2 - t2n * sbb, -2 * (A.mean() * B.mean() - t2n * sab), A.mean() ** 2 - t2n * saa])
    effect = Effect(A, B, ratio=True)
    assert effect.estimate == pytest.approx(A.mean() / B.mean())
    assert (effect.lower(0.05), effect.upper(0.05)) == pytest.approx(tuple(sorted(roots)))


def test_a_ratio_whose_denominator_may_be_zero_has_no_bounds_and_supports_nothing():
    effect = Effect(A, np.array([0.5, -0.5, 0.1, -0.2, 0.3]), ratio=True)
    assert (effect.lower(0.05), effect.upper(0.05)) == (-math.inf, math.inf)
    assert min(effect.p_above(0.01), effect.p_below(100.0)) > 0.05


def test_ratio_to_a_constant():
    effect = Effect(A, 0.5, ratio=True)
    half = stats.t.isf(0.05, 4) * A.std(ddof=1) / np.sqrt(5)
    assert effect.lower(0.05) == pytest.approx((A.mean() - half) / 0.5)


def test_geometric_ratio_is_one_of_logarithms():
    x = np.array([3.0, 50.0, 400.0, 20.0, 90.0])
    effect = Effect(x, 1.0, ratio=True, geometric=True)
    assert effect.estimate == pytest.approx(stats.gmean(x))
    logs = np.log(x)
    half = stats.t.isf(0.05, 4) * logs.std(ddof=1) / np.sqrt(5)
    assert effect.lower(0.05) == pytest.approx(np.exp(logs.mean() - half))
    assert effect.p_above(10.0) == pytest.approx(stats.ttest_1samp(logs, np.log(10.0), alternative="greater").pvalue)


def test_distance_is_in_deviations_of_differences_or_of_both_groups():
    assert Effect(A, B).distance(0.1) == pytest.approx(((A - B).mean() - 0.1) / (A - B).std(ddof=1))
    both = np.sqrt(A.var(ddof=1) + B.var(ddof=1))
    assert Effect(A, B, paired=False).distance(0.1) == pytest.approx(((A - B).mean() - 0.1) / both)


VALUES = st.lists(st.integers(1, 1000), min_size=5, max_size=5).map(lambda own: np.array(own) / 1000)


@settings(max_examples=40, deadline=None)
@given(VALUES, VALUES, st.sampled_from(["t", "permutation", "wilcoxon"]), st.booleans())
def test_bounds_lie_around_the_estimate_where_the_test_stops_to_reject(a, b, test, ratio):
    effect = Effect(a, b, test=test, ratio=ratio)
    low, high = effect.lower(0.05), effect.upper(0.05)
    slack = 1e-6 * max(1.0, abs(effect.estimate))
    if test != "wilcoxon":  # whose bounds lie around the pseudomedian
        assert low <= effect.estimate + slack
        assert effect.estimate <= high + slack
    if math.isfinite(low):
        assert effect.p_above(low - slack) <= 0.05
    if math.isfinite(high):
        assert effect.p_below(high + slack) <= 0.05


@settings(max_examples=30, deadline=None)
@given(VALUES, VALUES, st.floats(-0.5, 0.5))
def test_swapping_the_groups_swaps_above_and_below(a, b, value):
    assert Effect(a, b).p_above(value) == pytest.approx(Effect(b, a).p_below(-value))
