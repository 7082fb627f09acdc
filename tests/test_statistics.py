"""The bootstrap interval against all resamples there are."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlab.statistics import bootstrap_interval, resolved


def enumerated(values, confidence):
    """Quantiles of the mean over all n^n resamples.

    An enumeration decides only where no probability of a mean is near the quantile that is asked for.
    """
    means = sorted(np.mean(drawn) for drawn in itertools.product(values, repeat=len(values)))
    ends = []
    for quantile in ((1 - confidence) / 2, (1 + confidence) / 2):
        near = [means[math.ceil((quantile + offset) * len(means)) - 1] for offset in (-0.005, 0.0, 0.005)]
        assert near[0] == pytest.approx(near[2]), "choose other values"
        ends.append(near[1])
    return tuple(ends)


@pytest.mark.parametrize("confidence", [0.95, 0.6])
@pytest.mark.parametrize("values", [[1.0, 5.0], [0.0, 1.0, 10.0], [0.0, 1.0, 10.0, 100.0], [-3.0, 2.0, 2.0]], ids=str)
def test_all_resamples(values, confidence):
    assert bootstrap_interval(values, confidence) == pytest.approx(enumerated(values, confidence), abs=1e-12)


def test_by_hand():
    """Of two values, resamples give the first, the middle and the second with probabilities 1/4, 1/2, 1/4."""
    assert bootstrap_interval([1.0, 5.0]) == (1.0, 5.0)
    assert bootstrap_interval([1.0, 5.0], confidence=0.4) == (3.0, 3.0)


def test_the_interval_of_many_values_is_that_of_the_normal_distribution():
    values = np.random.default_rng(3).normal(2.0, 1.5, 400)
    low, high = bootstrap_interval(values)
    half = 1.96 * values.std() / math.sqrt(400)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.15 * half)


@pytest.mark.parametrize(
    "values", [[], [1.0], [1.0, float("nan")], [float("inf"), 2.0, 3.0], [float("inf"), -float("inf")]], ids=str
)
def test_nothing_to_resample(values):
    assert all(math.isnan(end) for end in bootstrap_interval(values))


def test_equal_values_have_an_interval_of_no_width():
    assert bootstrap_interval([2.5] * 5) == (2.5, 2.5)


def test_the_same_values_give_the_same_interval_and_no_global_generator_moves():
    values = [0.3, 1.2, 4.4, 2.0, 0.1]
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    first = bootstrap_interval(values)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    assert bootstrap_interval(tuple(values)) == bootstrap_interval(np.array(values)) == first


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=2, max_size=8), st.floats(0.1, 10), st.floats(-10, 10))
def test_intervals_move_with_the_values(values, factor, shift):
    low, high = bootstrap_interval(values)
    assert min(values) - 1e-9 <= low <= high + 1e-9 <= max(values) + 2e-9
    moved = bootstrap_interval(factor * np.array(values) + shift)
    assert moved == pytest.approx((factor * low + shift, factor * high + shift), abs=1e-7)


def test_a_wider_confidence_gives_a_wider_interval():
    values = [0.3, 1.2, 4.4, 2.0, 0.1, 3.3]
    ends = [bootstrap_interval(values, confidence) for confidence in (0.5, 0.8, 0.95, 0.99)]
    lows, highs = zip(*ends, strict=True)
    assert list(lows) == sorted(lows, reverse=True)
    assert list(highs) == sorted(highs)
    assert len(set(lows)) > 1


@pytest.mark.parametrize(
    ("trace", "terms", "error", "expected"),
    [
        (1e-16, (1e-16, 0.0), 0.0, False),
        (-3e-17, (0.3, -0.3), 0.0, False),
        (1e-9, (1e6, -1e6), 0.0, False),
        (0.0, (), 0.0, False),
        (1e-9, (1e-9, 0.0), 0.0, True),
        (-0.2, (0.1, -0.3), 0.0, True),
        (0.1, (0.4, -0.3), 0.06, False),
        (0.1, (0.4, -0.3), 0.04, True),
        (0.1, (math.nan,), math.nan, True),
    ],
)
def test_a_trace_is_resolved_beyond_rounding_and_its_error(trace, terms, error, expected):
    assert resolved(trace, terms, error) is expected
