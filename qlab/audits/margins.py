"""Margins: what a model says of a row's label, on a scale without bounds."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qlab.errors import DataError

Floats = NDArray[np.float64]


def margins(logits: ArrayLike, labels: ArrayLike) -> Floats:
    """The margin of each row: phi = logit of its label - log sum exp of those of the other classes (arXiv:2410.23232).

    Of two classes that is z if the label is 1 and -z if it is 0, with z the logit of class 1 over class 0; and
    phi = log(p / (1 - p)) with p the probability of the label, the scaled confidence of arXiv:2112.03570.

    Args:
        logits: z, ``[..., N]``.
        labels: 0 or 1, ``[N]``.

    Returns:
        Shape ``[..., N]``.
    """
    z, y = np.asarray(logits, dtype=float), np.asarray(labels)
    return np.where(y == 1, z, -z)


def ensembles(first: ArrayLike, second: ArrayLike, names: tuple[str, str], fewest: int = 1) -> tuple[Floats, Floats]:
    """Margins of two ensembles on the same rows, checked.

    Args:
        first: ``[A, N]``.
        second: ``[B, N]``.
        names: what they are called in messages.
        fewest: models that each must have.

    Raises:
        DataError: they are of other shapes, or some are not finite.
    """
    one, other = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    for name, values in zip(names, (one, other), strict=True):
        if values.ndim != 2:
            raise DataError(f"{name}: got margins of shape {list(values.shape)}, accepts [models, rows].")
        if len(values) < fewest:
            raise DataError(f"{name}: got margins of {len(values)} models, accepts at least {fewest}.")
        if not np.isfinite(values).all():
            raise DataError(f"{name}: some margins are not finite; leave models that diverged out.")
    if one.shape[1] != other.shape[1]:
        raise DataError(f"{names[0]} have margins of {one.shape[1]} rows, {names[1]} of {other.shape[1]}.")
    return one, other
