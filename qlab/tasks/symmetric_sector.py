"""Exact ground states of the periodic XXZ chain in the sector that shares all of the ground state's symmetries."""

from __future__ import annotations

import functools

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from qlab.tasks.xxz_ground_states import ZeroMagnetizationBasis, leading_sign, lowest_eigenpair


class SymmetricSector:
    """The Hamiltonian of the periodic XXZ chain on what the ground state is made of: orbits of basis states.

    After the Marshall sign M(s) = (-1)^(down spins on odd sites) every off-diagonal element is -2 or 0, and the
    Hamiltonian commutes with the translations, the reflection and the spin flip as plain permutations of basis states.
    Its ground state is positive (Perron-Frobenius), hence invariant under all of them:

        psi(s) = M(s) c_o / sqrt(n_o), o the orbit of s, n_o its size, sum_o c_o^2 = 1.

    The momentum of psi itself, 0 or pi as L mod 4 is 0 or 2, comes with the Marshall sign. At L = 20 there are 2,518
    orbits in place of 184,756 basis states, and the nearly degenerate partner deep in the gapped phase is not among
    them.

    Args:
        length: number of spins L, even.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        register = ZeroMagnetizationBasis(length)
        self.basis: NDArray[np.int64] = register.states
        images = _canonical(self.basis, length)
        representatives, orbit, sizes = np.unique(images, return_inverse=True, return_counts=True)
        self.orbit: NDArray[np.int64] = orbit.astype(np.int64)
        """The orbit of each basis state, ``[dim]``."""
        self.weight: NDArray[np.float64] = register.marshall / np.sqrt(sizes[self.orbit])
        """psi(s) / c_o for each basis state, ``[dim]``."""
        self.n_orbits = len(representatives)
        exchange = ZeroMagnetizationBasis(length, representatives)
        rows, flipped = exchange.exchanged
        columns = np.searchsorted(representatives, _canonical(flipped, length))
        # <a|H|b> sums over the states of orbit b that one state of orbit a is exchanged to.
        values = -2.0 * np.sqrt(sizes[rows] / sizes[columns])
        shape = (self.n_orbits, self.n_orbits)
        self._exchange = scipy.sparse.csr_array((values, (rows, columns)), shape=shape)
        self._alignment = exchange.alignment
        self._start = np.sqrt(sizes / len(self.basis))

    def hamiltonian(self, delta: float) -> scipy.sparse.csr_array:
        """The sparse Hamiltonian at anisotropy ``delta``, shape ``[orbits, orbits]``."""
        return (self._exchange + scipy.sparse.diags_array(delta * self._alignment)).tocsr()

    def ground_state(self, delta: float) -> tuple[float, NDArray[np.float64]]:
        """Energy and coefficients c of the orbits, of unit norm; the largest component of psi is positive.

        Components that tie for the largest (up to rounding) are told apart by the lowest basis index.
        """
        if delta <= -1.0:
            raise ValueError(f"delta must be above -1, where the ground state is unique; got {delta}")
        energy, coefficients = lowest_eigenpair(self.hamiltonian(delta), self._start)
        return energy, coefficients * leading_sign(self.weight * coefficients[self.orbit])


@functools.lru_cache(maxsize=2)
def symmetric_sector(length: int) -> SymmetricSector:
    """The sector of a chain, made once: both splits of a task need it."""
    return SymmetricSector(length)


def _canonical(states: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """The smallest state that translations, reflection and spin flip make of each state."""
    every = (1 << length) - 1
    reflected = np.zeros_like(states)
    for site in range(length):
        reflected |= ((states >> site) & 1) << (length - 1 - site)
    smallest = states.copy()
    for image in (states, reflected):
        for shift in range(length):
            moved = ((image << shift) | (image >> (length - shift))) & every
            np.minimum(smallest, moved, out=smallest)
            np.minimum(smallest, every ^ moved, out=smallest)
    return smallest
