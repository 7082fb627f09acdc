"""Verdicts: whether a claim is supported, contradicted or undecided, and how many seeds would decide it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Final, Literal

from qlab.claims.asked import Claim
from qlab.claims.effects import Effect
from qlab.claims.power import needed
from qlab.claims.tests import least_p

Word = Literal["supported", "contradicted", "undecided", "untested"]

SUPPORTED: Final = "supported"
CONTRADICTED: Final = "contradicted"
UNDECIDED: Final = "undecided"
UNTESTED: Final = "untested"

FEWEST: Final = 2
"""Of one value there is no spread."""


@dataclasses.dataclass(frozen=True, eq=False)
class Observed:
    """What there is to test a claim with.

    Args:
        claim: the claim.
        effect: of those values that there are; None if they are too few.
        n: how many seeds (or repeats) are in it; of groups that are not paired, in the smaller.
        asked: how many there would be.
        left_out: why others are not: "1 diverged".
        seeds: whose values are in it.
    """

    claim: Claim
    effect: Effect | None
    n: int
    asked: int
    left_out: str = ""
    seeds: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What came of a claim.

    Args:
        verdict: "supported", "contradicted", "undecided", or "untested" where there are too few values.
        estimate: the effect; NaN if untested.
        low: its one-sided lower bound at the claim's level.
        high: its upper bound.
        p_supported: of the test that the statement holds, corrected.
        p_contradicted: of the test that it does not.
        n: see :class:`Observed`.
        asked: how many there would be.
        left_out: why others are not there.
        needed: how many seeds would decide an undecided claim with probability 0.8 if effect and spread are as they
            look now; None if more than 10,000, or it is decided.
        towards: what they would decide: "supported" or "contradicted".
        by_sign: whether all differences are equal, so that the sign test decides, see
            :func:`qlab.claims.tests.p_greater`; the bounds are then the estimate itself, if so few values have any.
    """

    verdict: Word
    estimate: float
    low: float
    high: float
    p_supported: float
    p_contradicted: float
    n: int
    asked: int
    left_out: str = ""
    needed: int | None = None
    towards: str = ""
    by_sign: bool = False

    def as_json(self) -> dict[str, Any]:
        """For a JSON file: numbers that are not finite are null."""
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in dataclasses.asdict(self).items()
        }


def judge(observed: Sequence[Observed]) -> list[Verdict]:
    """The verdicts on all claims of a file.

    A claim is supported if the test finds its statement, contradicted if it finds the opposite. The p-values of all
    claims that say so are corrected together by Holm's method (Scand. J. Stat. 6, 65 (1979)): the probability that any
    is called supported though it does not hold is at most the level, and so for contradicted.
    """
    raw = [_p_values(item) for item in observed]
    family = [place for place, item in enumerate(observed) if item.claim.table.correction == "holm"]
    corrected = [list(pair) for pair in raw]
    for side in (0, 1):
        for place, p in zip(family, holm([raw[place][side] for place in family]), strict=True):
            corrected[place][side] = p
    return [
        _verdict(item, p[0], p[1], len(family) if item.claim.table.correction == "holm" else 1)
        for item, p in zip(observed, corrected, strict=True)
    ]


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: the k-th smallest of m times m - k + 1, none less than those before it, at most 1."""
    adjusted, least = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = least
    return adjusted


def _p_values(item: Observed) -> tuple[float, float]:
    """That the statement holds, and that it does not."""
    effect, (low, high) = item.effect, item.claim.limits
    if effect is None:
        return 1.0, 1.0
    statement = item.claim.table.statement
    if statement == "within":
        inside = max(effect.p_above(low), effect.p_below(high))
        return inside, min(1.0, 2.0 * min(effect.p_above(high), effect.p_below(low)))
    at = high if statement in ("above", "not above") else low
    above, below = effect.p_above(at), effect.p_below(at)
    return (above, below) if statement in ("above", "not below") else (below, above)


def _verdict(item: Observed, supported: float, contradicted: float, family: int) -> Verdict:
    effect, table = item.effect, item.claim.table
    if effect is None:
        nan = math.nan
        return Verdict(UNTESTED, nan, nan, nan, nan, nan, item.n, item.asked, item.left_out)
    found: Word = UNDECIDED
    if supported <= table.level:
        found = SUPPORTED
    elif contradicted <= table.level:
        found = CONTRADICTED
    seeds, towards = _needed(item.claim, effect, table.level / family) if found == UNDECIDED else (None, "")
    return Verdict(
        found,
        effect.estimate,
        effect.lower(table.level),
        effect.upper(table.level),
        supported,
        contradicted,
        item.n,
        item.asked,
        item.left_out,
        None if seeds is None else max(seeds, item.n + 1),
        towards,
        not effect.has_spread,
    )


def _needed(claim: Claim, effect: Effect, level: float) -> tuple[int | None, str]:
    """How many seeds would decide a claim, at the level of Holm's first step, and how."""
    low, high = claim.limits
    above_low, below_high = effect.distance(low), -effect.distance(high)
    statement, paired = claim.table.statement, effect.is_paired
    least = 2
    while least_p(claim.table.test, least, paired=paired) > level:
        least += 1
    other = None
    if statement == "within":
        towards = SUPPORTED if min(above_low, below_high) > 0.0 else CONTRADICTED
        distance = above_low if towards == SUPPORTED else -min(above_low, below_high)
        other = below_high if towards == SUPPORTED else None
    else:
        distance = {"above": -below_high, "below": -above_low, "not above": below_high, "not below": above_low}[
            statement
        ]
        towards = SUPPORTED if distance > 0.0 else CONTRADICTED
        distance = abs(distance)
    if math.isinf(distance) or (other is not None and math.isinf(other)):
        fewest = 2  # without a spread there is the sign test's p
        while 0.5**fewest > level:
            fewest += 1
        return max(fewest, least), towards
    found = needed(distance, level, other=other, paired=paired)
    return (None if found is None else max(found, least)), towards
