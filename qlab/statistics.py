"""Statistics over seeds."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

RESAMPLES = 9_999

ROUNDING = 64 * float(np.finfo(float).eps)
"""Sums of many terms of order one are exact to about this."""

ERRORS = 2.0
"""An estimate within so many standard errors of zero may be zero."""


def resolved(trace: float, terms: Iterable[float] = (), error: float = 0.0) -> bool:
    """Whether a Hessian's trace is more than rounding, so that a ratio can be taken with it.

    It is if it exceeds 64 machine precisions (1.4e-14) of ``1 + |A| + |B|``, the scale of what it is made of: of the
    loss, which is of order one and exact to rounding, and of the two terms, which may cancel. A trace below that is
    flat: a step of length one changes the loss by less than the loss is exact to. An estimated trace must also be
    farther from zero than two of its standard errors.

    Args:
        trace: the trace.
        terms: A and B, as far as they are known.
        error: standard error of an estimate; 0 if the trace is exact.
    """
    scale = 1.0 + sum(abs(term) for term in terms if np.isfinite(term))
    return abs(trace) > max(ROUNDING * scale, ERRORS * error if np.isfinite(error) else 0.0)


def bootstrap_interval(values: ArrayLike, confidence: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean; NaN for fewer than two values or if one is not finite.

    The resampling is seeded: the same values give the same interval.
    """
    sample = np.asarray(values, dtype=float)
    if len(sample) < 2 or not np.isfinite(sample).all():
        return float("nan"), float("nan")
    from scipy.stats import bootstrap

    result = bootstrap(
        (sample,),
        np.mean,
        confidence_level=confidence,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)
