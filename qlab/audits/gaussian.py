"""The Gaussian unlearning score: whether a model still knows the noise that was put into its training rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from qlab.audits.margins import Floats


def poison_scores(gradients: ArrayLike, noise: ArrayLike, std: float) -> Floats:
    """For each poisoned row how well the model's loss knows its noise (arXiv:2406.17216).

    I = -Re<xi, g> / (std |g|), with xi the noise that was added to the row and g the gradient of the loss at the clean
    row with respect to its features. For a model that never saw xi, I is a standard normal number whatever the model
    is, as xi is Gaussian: no oracle has to be trained for that. A model that has fitted the row with its noise has a
    loss that falls along xi, and I is larger. (The sign is chosen so; the authors' code leaves the minus out.) The
    Gaussian unlearning score is the mean over rows, its standard error 1 / sqrt(n).

    Args:
        gradients: g, real or complex, ``[..., n, d]``; of a complex feature d/d(Re) + i d/d(Im), as PyTorch gives it.
        noise: xi, ``[n, d]``.
        std: standard deviation of each real number of the noise.

    Returns:
        Shape ``[..., n]``; 0 where the gradient vanishes.
    """
    g, xi = np.asarray(gradients), np.asarray(noise)
    norms = np.sqrt((np.abs(g) ** 2).sum(-1))
    along = (g.conj() * xi).real.sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.where(norms > 0.0, -along / (std * norms), 0.0)
    return found


def detected(scores: ArrayLike, fpr: float = 0.01) -> Floats:
    """The fraction of rows whose noise is found at a false positive rate: that of scores above a normal quantile.

    Args:
        scores: see :func:`poison_scores`, ``[..., n]``.
        fpr: the fraction of scores of unknown noise that is above the threshold.

    Returns:
        Shape ``[...]``; ``fpr`` on average if the model knows nothing of the noise.
    """
    from scipy.stats import norm

    found: Floats = (np.asarray(scores) > norm.isf(fpr)).mean(-1)
    return found
