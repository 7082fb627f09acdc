"""Intervals of many paired differences: SciPy's, and the bounds that a claim has."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from qlab.claims.effects import Effect
from qlab.claims.intervals import t_interval


@pytest.mark.parametrize("n", [2, 5, 30])
def test_they_are_those_of_scipy_and_of_claims(n: int) -> None:
    rng = np.random.default_rng(n)
    of, than = rng.normal(0.3, 1.0, (n, 4)), rng.normal(0.0, 0.1, (n, 4))
    low, high = t_interval(of - than)
    for place in range(4):
        expected = stats.ttest_rel(of[:, place], than[:, place]).confidence_interval(0.95)
        assert (low[place], high[place]) == pytest.approx((expected.low, expected.high), rel=1e-9)
        effect = Effect(of[:, place], than[:, place])
        assert (low[place], high[place]) == pytest.approx((effect.lower(0.025), effect.upper(0.025)), rel=1e-9)
    narrow = t_interval(of - than, 0.5)
    assert (narrow[0] > low).all()
    assert (narrow[1] < high).all()


def test_one_pair_and_differences_without_spread_have_none() -> None:
    assert np.isnan(t_interval(np.array([[0.1, 0.2]]))).all()
    assert np.isnan(t_interval(np.empty((0, 3)))).all()
    low, high = t_interval(np.array([[0.1, 0.1], [0.1, 0.3], [0.1, 0.2]]))
    assert np.isnan([low[0], high[0]]).all()
    assert low[1] < 0.2 < high[1]
