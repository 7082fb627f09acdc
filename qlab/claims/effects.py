"""What two groups of values differ by: a difference or a ratio, its bounds, and tests of where it lies."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable

import numpy as np

from qlab.claims.tests import Sample, Test, exceeds, is_constant, p_greater

_STEPS = 50
"""Bounds are found to 2^-50 of how far they are away."""

_DOUBLINGS = 40


@dataclasses.dataclass(frozen=True, eq=False)
class Effect:
    """The difference or the ratio of the means of two groups.

    A ratio R of means is compared with a value r by the mean of a - r b, which is positive exactly if R > r, as the
    mean of b is positive; that is tested with it (Fieller, J. R. Stat. Soc. B 16, 175 (1954)). A ratio of geometric
    means is the exponential of the difference of the logarithms' means.

    Args:
        of: one value for each seed.
        than: the other group's, in the same order if paired; or a constant.
        paired: whether the values of one place belong together.
        ratio: whether the ratio is meant, not the difference.
        geometric: whether that of geometric means is meant.
        test: by which values are compared.
    """

    of: Sample
    than: Sample | float
    paired: bool = True
    ratio: bool = False
    geometric: bool = False
    test: Test = "t"

    @property
    def is_paired(self) -> bool:
        """Whether there is one value, or one difference, for each seed."""
        return self.paired or isinstance(self.than, float)

    @property
    def estimate(self) -> float:
        """The difference or ratio of the means."""
        a, b = self._logs if self.geometric else (self.of, self.than)
        if self.ratio and not self.geometric:
            return float(np.mean(a) / np.mean(b)) if np.mean(b) else math.nan
        return self._back(float(np.mean(a) - np.mean(b)))

    @property
    def has_spread(self) -> bool:
        """Whether differences of pairs, or values within a group, differ from each other; else it is a sign test."""
        by_ratio = self.ratio and not self.geometric  # what is compared depends on the ratio tested
        parts = (self.of, self.than) if by_ratio else self._against(1.0 if self.geometric else 0.0)
        return not all(is_constant(part) for part in parts if isinstance(part, np.ndarray))

    def p_above(self, value: float) -> float:
        """The p-value of the effect's being greater than a value."""
        return self._p(self._forth(value), above=True)

    def p_below(self, value: float) -> float:
        """The p-value of its being less."""
        return self._p(self._forth(value), above=False)

    def lower(self, level: float) -> float:
        """The one-sided lower bound: the effect is found to be greater than all below it, and not than it."""
        return self._bound(level, above=True)

    def upper(self, level: float) -> float:
        """The one-sided upper bound."""
        return self._bound(level, above=False)

    def distance(self, value: float) -> float:
        """How far it lies above a value, in standard deviations, as :func:`qlab.claims.power.power` has them."""
        x, y = self._against(self._forth(value))
        mean, other = float(np.mean(x)), 0.0 if y is None else float(np.mean(y))
        if is_constant(x) and (y is None or is_constant(y)):
            return math.inf if exceeds(mean, other) else -math.inf if exceeds(other, mean) else 0.0
        return (mean - other) / math.sqrt(np.var(x, ddof=1) + (0.0 if y is None else np.var(y, ddof=1)))

    @functools.cached_property
    def _logs(self) -> tuple[Sample, Sample | float]:
        than = math.log(self.than) if isinstance(self.than, float) else np.log(self.than)
        return np.log(self.of), than

    def _forth(self, value: float) -> float:
        """A value on the scale that is tested on."""
        return math.log(value) if self.geometric else value

    def _back(self, value: float) -> float:
        return math.exp(min(value, 700.0)) if self.geometric else value

    def _against(self, value: float) -> tuple[Sample, Sample | None]:
        """Values whose mean is positive if the effect is greater than a value; or two groups' that then differ."""
        a, b = self._logs if self.geometric else (self.of, self.than)
        other = value * b if self.ratio and not self.geometric else b + value
        if self.is_paired:
            return a - other, None
        return a, np.asarray(other)

    @functools.cached_property
    def _p_positive(self) -> float:
        """The p-value of a positive denominator."""
        if not self.ratio or self.geometric or isinstance(self.than, float):
            return 0.0
        return p_greater(self.test, self.than)

    def _p(self, value: float, *, above: bool) -> float:
        x, y = self._against(value)
        if not above:
            x, y = (-x, None) if y is None else (y, x)
        return max(p_greater(self.test, x, y), self._p_positive)

    def _bound(self, level: float, *, above: bool) -> float:
        unbounded = -math.inf if above else math.inf
        if self._p_positive > level:
            return unbounded
        middle = self._forth(self.estimate)
        sign = -1.0 if above else 1.0

        def excluded(value: float) -> bool:
            return self._p(value, above=above) <= level

        if self.has_spread:
            found = _first(excluded, middle, sign, self._scale(middle))
        else:  # all values on a side have one p
            found = middle if excluded(middle + sign * max(1.0, abs(middle))) else None
        if found is None:
            return 0.0 if self.geometric and above else unbounded
        return self._back(found)

    def _scale(self, middle: float) -> float:
        """About how far a bound may be away."""
        x, y = self._against(middle)
        spread = max(float(np.std(x)), 0.0 if y is None else float(np.std(y)))
        if self.ratio and not self.geometric:
            spread /= abs(float(np.mean(self.than))) or 1.0
        return spread or 1e-9 * max(1.0, abs(middle))


def _first(holds: Callable[[float], bool], start: float, sign: float, scale: float) -> float | None:
    """The value nearest to where it does not hold, away from ``start`` in a direction, from which on it does."""
    near, far = 0.0, scale
    for _ in range(_DOUBLINGS):
        if holds(start + sign * far):
            break
        near, far = far, 2.0 * far
    else:
        return None
    for _ in range(_STEPS):
        middle = 0.5 * (near + far)
        near, far = (near, middle) if holds(start + sign * middle) else (middle, far)
    return start + sign * far
