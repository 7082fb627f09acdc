"""How well the best of some attacks tells unlearned from retrained models by one row: epsilon of each row."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qlab.audits.margins import Floats, ensembles


@dataclasses.dataclass(frozen=True, eq=False)
class Epsilon:
    """What one attack on each row says about epsilon, see :func:`epsilon_of_rows`.

    Args:
        estimate: from the observed rates, ``[N]``; infinite where the attack made no error of one kind.
        low: lower end of the interval: epsilon is at least this, ``[N]``.
        high: upper end for this attack, ``[N]``, which may be infinite; a better attack may find more.
    """

    estimate: Floats
    low: Floats
    high: Floats


def epsilon_of_rows(unlearned: ArrayLike, oracles: ArrayLike, delta: float = 0.0, confidence: float = 0.95) -> Epsilon:
    """Per-sample epsilon of (epsilon, delta)-unlearning, with intervals (arXiv:2406.09073; arXiv:2006.07709).

    If unlearned and retrained models are (epsilon, delta)-indistinguishable, every attack that calls a model unlearned
    or retrained by its margin on a row has rates with

        epsilon >= max(log((1 - delta - FPR) / FNR), log((1 - delta - FNR) / FPR)).

    FPR is the fraction of oracles that are called unlearned, FNR that of unlearned models that are called oracles. The
    attacks are thresholds, in either direction. One half of each ensemble chooses the attack of each row, with the
    largest lower bound there; the other half gives its rates, so that the choice biases nothing. ``low`` takes for FPR
    and FNR the upper ends of their Clopper-Pearson intervals,

        p_high(k, n) = BetaInv(1 - a / 2; k + 1, n - k),  p_low(k, n) = BetaInv(a / 2; k, n - k + 1),

    each with a = (1 - confidence) / 2, so that both hold together with the confidence; ``high`` takes the lower ends.
    Both hold for each row alone, not for all rows at once. Of n models in a half, ``low`` cannot be more than
    :func:`epsilon_ceiling`. Values below zero are zero.

    Args:
        unlearned: margins of models that have unlearned the same forget set, ``[U, N]``, at least four.
        oracles: margins of models retrained without it, ``[O, N]``, at least four.
        delta: of the definition, in [0, 1).
        confidence: of the intervals.

    Raises:
        DataError: the arrays do not fit, or hold values that are not finite.
    """
    own, others = ensembles(unlearned, oracles, ("unlearned models", "oracles"), 4)
    choosing = own[0::2], others[0::2]
    testing = own[1::2], others[1::2]
    upper = [_bounds(len(part), confidence)[1] for part in choosing]
    pooled = np.sort(np.concatenate(choosing), axis=0)
    thresholds = np.concatenate([pooled[:1] - 1.0, (pooled[1:] + pooled[:-1]) / 2.0])
    best = np.full(own.shape[1], -np.inf)
    at, above = np.zeros(own.shape[1]), np.zeros(own.shape[1], dtype=bool)
    for threshold in thresholds:
        for is_above in (True, False):
            false, missed = _errors(*choosing, threshold, np.full(own.shape[1], is_above))
            value = _epsilon(upper[1][false], upper[0][missed], delta)
            better = value > best
            best = np.where(better, value, best)
            at, above = np.where(better, threshold, at), np.where(better, is_above, above)
    false, missed = _errors(*testing, at, above)
    own_low, own_high = _bounds(len(testing[0]), confidence)
    other_low, other_high = _bounds(len(testing[1]), confidence)
    return Epsilon(
        estimate=_epsilon(false / len(testing[1]), missed / len(testing[0]), delta),
        low=_epsilon(other_high[false], own_high[missed], delta),
        high=_epsilon(other_low[false], own_low[missed], delta),
    )


def epsilon_ceiling(unlearned: int, oracles: int, delta: float = 0.0, confidence: float = 0.95) -> float:
    """The largest lower bound that so many models can give: of an attack that makes no error."""
    own = _bounds(unlearned // 2, confidence)[1][0]
    other = _bounds(oracles // 2, confidence)[1][0]
    return float(_epsilon(np.array([other]), np.array([own]), delta)[0])


def _errors(
    own: Floats, others: Floats, threshold: Floats, above: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many oracles are called unlearned, and how many unlearned models are not, ``[N]`` each."""
    called_own = np.where(above, own > threshold, own <= threshold)
    called_others = np.where(above, others > threshold, others <= threshold)
    return called_others.sum(0), len(own) - called_own.sum(0)


def _epsilon(false: Floats, missed: Floats, delta: float) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        one = np.log(np.maximum(1.0 - delta - false, 0.0)) - np.log(missed)
        other = np.log(np.maximum(1.0 - delta - missed, 0.0)) - np.log(false)
    # log 0 - log 0: no attack says anything
    found: Floats = np.maximum(np.nan_to_num(np.fmax(one, other), nan=0.0, posinf=np.inf, neginf=0.0), 0.0)
    return found


def _bounds(n: int, confidence: float) -> tuple[Floats, Floats]:
    """Clopper-Pearson intervals of 0, 1, ..., n successes of n."""
    from scipy.stats import beta

    tail = (1.0 - confidence) / 4.0
    k = np.arange(n + 1)
    with np.errstate(invalid="ignore"):
        low = np.where(k > 0, beta.ppf(tail, k, n - k + 1), 0.0)
        high = np.where(k < n, beta.ppf(1.0 - tail, k + 1, n - k), 1.0)
    return low, high
