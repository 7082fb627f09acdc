"""How many seeds it takes: the power of one-sided t tests.

The power of a test at level a of n pairs, whose mean difference is e of its standard deviations, is the probability
that a noncentral t with n - 1 degrees of freedom and noncentrality e sqrt(n) exceeds the quantile 1 - a of the central
one (Cohen, Statistical Power Analysis, 1988, ch. 2). For two groups of n that are not paired, e is the difference of
the means divided by the root of the sum of their variances, with 2 n - 2 degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Callable
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


def power_within(margin: float, n: int, level: float, *, paired: bool = True) -> float:
    """The probability that an effect of 0 is found to lie within a margin, by one-sided tests against both of its ends.

    With the spread s that is seen, in units of the true one, the mean has to lie within margin - t s / sqrt(n) of 0;
    that is averaged over s, whose square has a chi-square distribution divided by its degrees of freedom (Schuirmann,
    J. Pharmacokinet. Biopharm. 15, 657 (1987)).

    Args:
        margin: in standard deviations.
        n: pairs, or values in each group.
        level: of each of the tests.
        paired: whether there are pairs.
    """
    from scipy import integrate, stats

    freedom = n - 1 if paired else 2 * n - 2
    centre, critical = margin * n**0.5, float(stats.t.isf(level, freedom))
    most = float(stats.chi2.cdf(freedom * (centre / critical) ** 2, freedom))

    def found(share: float) -> float:
        spread = (stats.chi2.ppf(share, freedom) / freedom) ** 0.5
        return float(2.0 * stats.norm.cdf(centre - critical * spread) - 1.0)

    return float(integrate.quad(found, 0.0, most, epsabs=1e-6, limit=200)[0])


def detectable(n: int, level: float, *, paired: bool = True) -> float:
    """The effect, in standard deviations, that is found with probability 0.8; see :func:`power`."""
    return _least(lambda effect: power(effect, n, level, paired=paired))


def detectable_within(n: int, level: float, *, paired: bool = True) -> float:
    """The margin, in standard deviations, within which 0 is found with probability 0.8; see :func:`power_within`."""
    return _least(lambda margin: power_within(margin, n, level, paired=paired))


def _least(found: Callable[[float], float]) -> float:
    """From where on something is found with probability 0.8."""
    from scipy import optimize

    top = 1.0
    while found(top) < POWER:
        top *= 2.0
    return float(optimize.brentq(lambda value: found(value) - POWER, 0.0, top, xtol=1e-6))


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
