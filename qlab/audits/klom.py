"""KLoM: the distribution of a row's margin over unlearned models, against that over retrained ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from qlab.audits.margins import Floats, ensembles

BINS = 20
"""Of a histogram."""

CLIP = 100.0
"""Margins are cut off at plus and minus this."""

SMALLEST = 1e-5
"""The least probability of a bin of the oracles which unlearned models fall into."""

_NAMES = ("unlearned models", "oracles")


def klom(unlearned: ArrayLike, oracles: ArrayLike, bins: int = BINS) -> Floats:
    """KL divergence of margins for each row (arXiv:2410.23232), in nats.

    KLoM(x) = sum_b P_b log(P_b / Q_b), with P the histogram of the row's margins over unlearned models and Q that over
    oracles, which were retrained without the forget set. The bins are equally wide and span the margins of both, cut
    off at +-100; Q_b is at least 1e-5 where P_b > 0, and Q is then normalised. Like the published code, but for the
    largest margin, which there belongs to no bin and here to the last.

    It is 0 where the histograms agree and at most log(1 + 1e5), about 11.5. It is not 0 for oracles against other
    oracles: see :func:`klom_floor`.

    Args:
        unlearned: margins of models that have unlearned the same forget set, ``[U, N]``.
        oracles: margins of models retrained without it, ``[O, N]``.
        bins: of a histogram.

    Returns:
        Shape ``[N]``. Costs O((U + O) N).

    Raises:
        DataError: the arrays do not fit, or hold values that are not finite.
    """
    p_margins, q_margins = (np.clip(part, -CLIP, CLIP) for part in ensembles(unlearned, oracles, _NAMES))
    low = np.minimum(p_margins.min(0), q_margins.min(0))
    width = np.maximum(p_margins.max(0), q_margins.max(0)) - low
    width = np.where(width > 0.0, width, 1.0)
    p, q = (_histogram(part, low, width, bins) for part in (p_margins, q_margins))
    q = np.where(p > 0.0, np.maximum(q, SMALLEST), q)
    q = q / q.sum(1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0.0, p * np.log(p / q), 0.0)
    found: Floats = np.maximum(terms.sum(1), 0.0)  # rounding may leave it below zero
    return found


def klom_floor(oracles: ArrayLike, bins: int = BINS, models: int | None = None) -> Floats:
    """KLoM of oracles against other oracles for each row: below it, being an oracle cannot be told from not being one.

    The mean of KLoM(first half || second half) and of KLoM(second half || first half).

    Args:
        oracles: margins ``[O, N]``, at least two.
        bins: of a histogram.
        models: how many of the first half count: histograms of few models differ more. By default all.

    Returns:
        Shape ``[N]``.
    """
    halves = _halves(ensembles(oracles, oracles, ("oracles", "oracles"), 2)[0])
    pairs = (halves, halves[::-1])
    return np.mean([klom(first[:models], second, bins) for first, second in pairs], axis=0)


def klom_excess(unlearned: ArrayLike, oracles: ArrayLike, bins: int = BINS) -> Floats:
    """How much farther from oracles unlearned models are than other oracles, for each row.

    KLoM of a half of the unlearned models against a half of the oracles, averaged over the four pairs of halves, minus
    :func:`klom_floor` of as many models: both are then biased alike, so that the mean is zero for models that are
    oracles. Single rows scatter around it.

    Args:
        unlearned: margins ``[U, N]``, at least two models.
        oracles: margins ``[O, N]``, at least two.
        bins: of a histogram.

    Returns:
        Shape ``[N]``.
    """
    first, second = ensembles(unlearned, oracles, _NAMES, 2)
    models = min(len(first), len(second)) // 2
    own = np.mean([klom(a[:models], b, bins) for a in _halves(first) for b in _halves(second)], axis=0)
    difference: Floats = own - klom_floor(second, bins, models)
    return difference


def _halves(values: Floats) -> tuple[Floats, Floats]:
    """As many models each; of an odd number the last is in neither."""
    half = len(values) // 2
    return values[:half], values[half : 2 * half]


def _histogram(values: Floats, low: Floats, width: Floats, bins: int) -> Floats:
    """Probabilities ``[N, bins]`` of values ``[models, N]`` in each row's bins."""
    models, rows = values.shape
    place = np.minimum(((values - low) / width * bins).astype(int), bins - 1)
    counts = np.bincount((place + np.arange(rows) * bins).ravel(), minlength=rows * bins)
    return counts.reshape(rows, bins) / models
