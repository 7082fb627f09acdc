"""Distances between models: of their parameters, and of what circuits measure."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from qlab.audits.margins import Floats


def parameter_distance(first: ArrayLike, second: ArrayLike) -> Floats:
    """Euclidean distances |a - b| of flat parameter vectors, those of every model to those of every other.

    Oracles that start elsewhere end elsewhere: compare with their distances to each other.

    Args:
        first: ``[A, P]``.
        second: ``[B, P]``.

    Returns:
        Shape ``[A, B]``.
    """
    from scipy.spatial.distance import cdist

    found: Floats = cdist(np.asarray(first, dtype=float), np.asarray(second, dtype=float))
    return found


def observable_overlap(first: ArrayLike, second: ArrayLike) -> Floats:
    """Normalised Hilbert-Schmidt overlaps of observables, tr(A B) / sqrt(tr(A^2) tr(B^2)).

    Of A = U^dagger O U, what a circuit measures on its input: circuits with other angles may measure the same. With
    Pauli coefficients A = sum_P a_P P it is a.b / (|a| |b|), since tr(P Q) = 2^k if P = Q, else 0. It is 1 for circuits
    with the same logits on all inputs, up to their scale, and -1 for opposite ones.

    Args:
        first: Pauli coefficients ``[A, 4^k]``, real.
        second: the same ``[B, 4^k]``.

    Returns:
        Shape ``[A, B]``; 0 where an observable vanishes.
    """
    a, b = (np.asarray(part, dtype=float) for part in (first, second))
    sizes = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.where(sizes > 0.0, a @ b.T / sizes, 0.0)
    return found
