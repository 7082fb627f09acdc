"""Expectation values of Pauli strings in Gaussian states: determinants of correlations (Wick's theorem)."""

from __future__ import annotations

import dataclasses
import functools
import itertools

import numpy as np
from numpy.typing import NDArray

_PRODUCT = np.array([[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0]])
"""Which Pauli matrix a product is, up to a phase; I, X, Y, Z are 0, 1, 2, 3."""

_PHASE = np.array([[0, 0, 0, 0], [0, 0, 1, 3], [0, 3, 0, 1], [0, 1, 3, 0]])
"""Powers of i in these products: X Y = i Z."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Order:
    """Pauli strings that are products of as many a as b.

    Args:
        rows: the sites of the a, ``[m, s]``.
        columns: those of the b.
        place: the string's number, ``[m]``.
        sign: what the determinant is multiplied by.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    place: NDArray[np.int64]
    sign: NDArray[np.float64]


def pauli_strings_of(block: NDArray[np.float64]) -> NDArray[np.float64]:
    """<P> of all Pauli strings on a block of k neighbouring sites.

    With the Majorana operators of :mod:`qlab.tasks.free_fermions`, whose strings begin at the first site of the block:
    those of the sites before it cancel in operators of even parity, and the others vanish. A string that is a product
    of a on the sites S and b on the sites T, up to a phase, is +-det G_ST if S and T are as many, else 0.

    Args:
        block: G_mn = <i a_m b_n>, ``[N, k, k]``.

    Returns:
        ``[N, 4^k]``, base-4 digits I, X, Y, Z, the first site first. Costs O(N binomial(2 k, k)).
    """
    n, k, _ = block.shape
    found = np.zeros((n, 4**k))
    found[:, 0] = 1.0
    for order in _orders(k):
        minors = block[:, order.rows[:, :, None], order.columns[:, None, :]]
        found[:, order.place] = order.sign * np.linalg.det(minors)
    return found


@functools.cache
def _orders(k: int) -> tuple[_Order, ...]:
    """For each number s of a and b their sets, and which Pauli strings these products are."""
    found = []
    for s in range(1, k + 1):
        sets = np.array(list(itertools.combinations(range(k), s)), dtype=np.int64)
        rows, columns = np.repeat(sets, len(sets), axis=0), np.tile(sets, (len(sets), 1))
        letters, phase = np.zeros((len(rows), k), dtype=np.int64), np.zeros(len(rows), dtype=np.int64)
        for sites, letter in ((rows, 3), (columns, 2)):
            for factor in range(s):
                _multiply(letters, phase, sites[:, factor], letter)
        place = letters @ 4 ** np.arange(k - 1, -1, -1)
        # a_1 ... a_s b_1 ... b_s = i^phase P, and its expectation value is (-1)^(s (s - 1) / 2) det(-i G).
        power = (s * (s - 1) - s - phase) % 4
        sign = np.where(power == 0, 1.0, -1.0)
        assert bool((power % 2 == 0).all())  # P is Hermitian
        found.append(_Order(rows, columns, place, sign))
    return tuple(found)


def _multiply(letters: NDArray[np.int64], phase: NDArray[np.int64], sites: NDArray[np.int64], letter: int) -> None:
    """Multiplies Pauli strings, in place, by (prod_{l<j} X_l) P_j from the right."""
    for site in range(letters.shape[1]):
        factor = np.where(site < sites, 1, np.where(site == sites, letter, 0))
        phase += _PHASE[letters[:, site], factor]
        letters[:, site] = _PRODUCT[letters[:, site], factor]
