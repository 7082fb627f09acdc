"""Membership inference by likelihood ratios, with shadow models."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike

from qlab.audits.margins import Floats, ensembles

_SMALLEST = 1e-6
"""The least standard deviation of margins over models: rows on which all agree have no smaller one."""


def log_likelihood_ratio(margins: ArrayLike, inside: ArrayLike, outside: ArrayLike) -> Floats:
    """How much more likely a margin is for models that were trained on a row than for others (arXiv:2112.03570).

    Lambda = log N(phi; mu_in, s_in) - log N(phi; mu_out, s_out): for each row a normal distribution is fitted to the
    margins of shadow models that were trained on it, and one to those of shadow models that were not. Standard
    deviations are those of n - 1, and at least 1e-6.

    Args:
        margins: of the models in question, ``[M, N]``.
        inside: of shadow models that were trained on the rows, ``[I, N]``, at least two.
        outside: of those that were not, ``[O, N]``, at least two.

    Returns:
        Shape ``[M, N]``, in nats.

    Raises:
        DataError: the arrays do not fit, or hold values that are not finite.
    """
    known, unknown = ensembles(inside, outside, ("models inside", "models outside"), 2)
    phi, _ = ensembles(margins, known, ("models", "models inside"))
    return _log_density(phi, known) - _log_density(phi, unknown)


def _log_density(phi: Floats, sample: Floats) -> Floats:
    """Of a normal distribution fitted to each row's sample, up to a constant."""
    deviation = np.maximum(sample.std(0, ddof=1), _SMALLEST)
    found: Floats = -0.5 * ((phi - sample.mean(0)) / deviation) ** 2 - np.log(deviation)
    return found


@dataclasses.dataclass(frozen=True)
class Attack:
    """How well scores tell members from others.

    Args:
        auc: the probability that a member has the higher score (ties count half); 0.5 if they say nothing.
        tpr: the largest fraction of members that is found where at most ``fpr`` of the others are taken for members.
        fpr: that fraction.
    """

    auc: float
    tpr: float
    fpr: float


def attack(members: ArrayLike, others: ArrayLike, fpr: float = 0.01) -> Attack:
    """The attack that calls a member whatever has a score above a threshold.

    Args:
        members: scores of members, any shape.
        others: scores of others, any shape.
        fpr: the false positive rate at which the true positive rate is given.
    """
    from sklearn.metrics import roc_auc_score, roc_curve

    inside, outside = np.ravel(members), np.ravel(others)
    truth = np.concatenate([np.ones(len(inside)), np.zeros(len(outside))])
    scores = np.concatenate([inside, outside])
    false, true, _ = roc_curve(truth, scores, drop_intermediate=False)
    return Attack(float(roc_auc_score(truth, scores)), float(true[false <= fpr].max()), fpr)
