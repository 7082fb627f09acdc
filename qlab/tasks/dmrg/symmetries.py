"""Averages of a block's density matrix over the symmetries of the XXZ chain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from qlab.circuits.pauli import pauli_coefficients

Matrix = NDArray[np.float64]


def spin_flipped(rho: Matrix) -> Matrix:
    """What a flip of all spins makes of it: F rho F, F = X on every site."""
    return rho[::-1, ::-1]


def mirrored(rho: Matrix) -> Matrix:
    """The same with the sites in reverse order."""
    k = len(rho).bit_length() - 1
    order = [*range(k - 1, -1, -1), *range(2 * k - 1, k - 1, -1)]
    return rho.reshape([2] * 2 * k).transpose(order).reshape(rho.shape)


def reordered(rho: Matrix, order: Sequence[int]) -> Matrix:
    """The same with site ``order[i]`` as number i."""
    k = len(order)
    return rho.reshape([2] * 2 * k).transpose([*order, *(k + site for site in order)]).reshape(rho.shape)


def average(images: Sequence[Matrix]) -> Matrix:
    """The mean of density matrices and of their images under the spin flip."""
    mean = sum(images[1:], images[0]) / len(images)
    return (mean + spin_flipped(mean)) / 2.0


def distance(one: Matrix, other: Matrix) -> float:
    """Trace norm of the difference: no expectation value of an operator of norm one differs by more."""
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        return float("inf")
    return float(np.abs(np.linalg.eigvalsh(one - other)).sum())


def pauli_of(rho: Matrix) -> Matrix:
    """tr(rho P) of all Pauli strings, ``[4^k]``; the identity's is 1."""
    found = len(rho) * pauli_coefficients(torch.from_numpy(rho / np.trace(rho)).to(torch.complex128)[None])[0]
    return found.numpy()
