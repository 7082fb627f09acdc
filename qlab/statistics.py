"""Statistics over seeds."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

RESAMPLES = 9_999


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
