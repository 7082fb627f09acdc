"""Intervals of many paired differences at once, as a claim with the test "t" has them of one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qlab.claims.tests import constant

CONFIDENCE = 0.95
"""Of an interval, unless asked otherwise: 1 minus the levels of both one-sided bounds."""


def t_interval(
    differences: NDArray[np.float64], confidence: float = CONFIDENCE
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Student's t interval of the mean of differences, of each column for itself: mean ± t s / sqrt(n).

    Its ends are the bounds of :class:`qlab.claims.effects.Effect` at the level (1 - confidence) / 2 each, in one go.

    Args:
        differences: shape ``[n, ...]``, one row for each pair.
        confidence: of the two-sided interval.

    Returns:
        Lower and upper ends, shape ``[...]``; NaN where there are fewer than two pairs, or all differ by the same: that
        has no spread to tell by, which the bounds of a claim say too.
    """
    sample = np.asarray(differences, dtype=float)
    n = len(sample)
    if n < 2:
        nothing = np.full(sample.shape[1:], np.nan)
        return nothing, nothing.copy()
    from scipy.special import stdtrit

    mean, error = sample.mean(0), sample.std(0, ddof=1) / np.sqrt(n)
    reach = np.where(constant(sample), np.nan, stdtrit(n - 1.0, 0.5 + 0.5 * confidence) * error)
    return mean - reach, mean + reach
