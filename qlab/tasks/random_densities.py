"""Reduced density matrices of random states of any number of qubits."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor

from qlab.circuits.pauli import pauli_coefficients

_LARGEST_EXPONENT: Final = 200
"""Of the number of states of the other qubits: beyond, deviations from the maximally mixed state are below rounding."""


def random_densities(n: int, k: int, length: int, generator: torch.Generator) -> Tensor:
    """tr(rho P) of all Pauli strings on k qubits of random states of L qubits, ``[n, 4^k]``, float64.

    A random state is a matrix of 2^k x m complex Gaussian numbers, m = 2^(L - k), over its norm, so that rho = W / tr W
    with W of the complex Wishart distribution with m degrees of freedom. By Bartlett's decomposition W = T T^dagger, T
    lower triangular, |T_ii|^2 ~ Gamma(m - i), i from 0, and T_ij ~ CN(0, 1): no state is made.

    Args:
        n: how many.
        k: qubits that are kept.
        length: L.
        generator: the source of randomness.
    """
    d, rest = 2**k, length - k
    if n == 0:
        return torch.empty(0, d * d, dtype=torch.float64)
    drawn = np.random.default_rng(int(torch.randint(0, 2**62, (), generator=generator)))
    if rest < k:  # fewer degrees of freedom than rows: the matrix itself is small
        t = drawn.normal(size=(n, d, 2**rest)) + 1j * drawn.normal(size=(n, d, 2**rest))
    else:
        t = np.tril(drawn.normal(size=(n, d, d)) + 1j * drawn.normal(size=(n, d, d)), -1) / np.sqrt(2.0)
        shape = 2.0 ** min(rest, _LARGEST_EXPONENT) - np.arange(d)
        t[:, np.arange(d), np.arange(d)] = np.sqrt(drawn.standard_gamma(shape, size=(n, d)))
    t /= np.sqrt((t.real**2 + t.imag**2).sum((1, 2), keepdims=True))
    rho = torch.from_numpy(t @ t.conj().swapaxes(1, 2))
    found = d * pauli_coefficients(rho)
    found[:, 0] = 1.0
    return found
