"""How many seeds it takes: the power of one-sided t tests.

The power of a test at level a of n pairs, whose mean difference is e of its standard deviations, is the probability
that a noncentral t with n - 1 degrees of freedom and noncentrality e sqrt(n) exceeds the quantile 1 - a of the central
one (Cohen, Statistical Power Analysis, 1988, ch. 2). For two groups of n that are not paired, e is the difference of
the means divided by the root of the sum of their variances, with 2 n - 2 degrees of freedom.
"""

from __future__ import annotations

from typing import Final

POWER: Final = 0.8
"""What is asked of a test."""

MOST: Final = 1_000
"""More seeds are not counted."""


def power(effect: float, n: int, level: float, *, paired: bool = True) -> float:
    """The probability that an effect is found.

    Args:
        effect: in standard deviations.
        n: pairs, or values in each group.
        level: of the one-sided test.
        paired: whether there are pairs.
    """
    from scipy import stats

    freedom = n - 1 if paired else 2 * n - 2
    centre = effect * n**0.5
    critical = float(stats.t.isf(level, freedom))
    if freedom > 300:  # where the noncentral t is no longer computed well, it is as good as normal
        return float(stats.norm.sf(critical - centre))
    found = float(stats.nct.sf(critical, freedom, centre))
    return found if found == found else float(stats.norm.sf(critical - centre))


def detectable(n: int, level: float, *, paired: bool = True) -> float:
    """The effect, in standard deviations, that is found with probability 0.8; see :func:`power`."""
    from scipy import optimize

    top = 1.0
    while power(top, n, level, paired=paired) < POWER:
        top *= 2.0
    return float(optimize.brentq(lambda effect: power(effect, n, level, paired=paired) - POWER, 0.0, top, xtol=1e-6))


def needed(effect: float, level: float, *, other: float | None = None, paired: bool = True) -> int | None:
    """The least n with which an effect is found with probability 0.8; None if :data:`MOST` are too few.

    Args:
        effect: in standard deviations, see :func:`power`.
        level: of the one-sided test.
        other: a second effect, to be found too, in the same values.
        paired: whether there are pairs.
    """

    def enough(n: int) -> bool:
        found = power(effect, n, level, paired=paired)
        # Both are found with at least the sum of their powers less one.
        return found + (1.0 if other is None else power(other, n, level, paired=paired)) - 1.0 >= POWER

    if min(effect, effect if other is None else other) <= 0.0 or not enough(MOST):
        return None
    low, high = 1, 2
    while not enough(high):
        low, high = high, min(2 * high, MOST)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
