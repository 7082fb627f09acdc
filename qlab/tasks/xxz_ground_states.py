"""Exact ground states of the periodic XXZ chain by sparse Lanczos in the zero-magnetisation sector."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.linalg
import scipy.sparse
import scipy.sparse.linalg
from numpy.typing import NDArray

DENSE_BELOW = 64
"""Sectors smaller than this are diagonalised densely; Lanczos needs room for its subspace."""


class ZeroMagnetizationBasis:
    """Basis states with as many up as down spins, and what the XXZ Hamiltonian does to them.

    Args:
        length: number of spins L, even.
        states: some of these states, ascending; by default all.

    Attributes:
        states: the basis states, ``[dim]``.
        alignment: sum_i Z_i Z_{i+1} of each, ``[dim]``.
        exchanged: positions of states, and for each a state that exchanging two opposite neighbours makes of it; X X +
            Y Y does so with amplitude 2.
    """

    def __init__(self, length: int, states: NDArray[np.int64] | None = None) -> None:
        self.length = length
        every = np.arange(2**length, dtype=np.int64) if states is None else states
        self.states: NDArray[np.int64] = every[np.bitwise_count(every) == length // 2]
        self.alignment = np.zeros(len(self.states))
        rows, flipped = [], []
        for site in range(length):
            bit, neighbour = 1 << site, 1 << ((site + 1) % length)
            differ = ((self.states & bit) > 0) != ((self.states & neighbour) > 0)
            self.alignment += np.where(differ, -1.0, 1.0)
            rows.append(np.flatnonzero(differ))
            flipped.append(self.states[differ] ^ (bit | neighbour))
        self.exchanged = np.concatenate(rows), np.concatenate(flipped)

    @property
    def marshall(self) -> NDArray[np.float64]:
        """(-1)^(down spins on odd sites), ``[dim]``."""
        odd_sites = sum(1 << site for site in range(1, self.length, 2))
        return 1.0 - 2.0 * (np.bitwise_count(self.states & odd_sites) % 2)


class ZeroMagnetizationSector:
    """The Hamiltonian of the periodic XXZ chain on basis states with as many up as down spins.

    For even L and delta > -1 the ground state lies here and is unique: after the Marshall sign (-1)^(down
    spins on odd sites) every off-diagonal element is negative and connects the whole sector
    (Perron-Frobenius). The Marshall-signed uniform vector overlaps with it at any delta, and shares its
    translation, reflection and spin-flip symmetry; starting Lanczos there keeps it away from the
    nearly degenerate partner deep in the gapped phase.

    Args:
        length: number of spins L, even.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        register = ZeroMagnetizationBasis(length)
        self.basis: NDArray[np.int64] = register.states
        dimension = len(self.basis)
        row, flipped = register.exchanged
        column = np.searchsorted(self.basis, flipped)
        self._exchange = scipy.sparse.csr_array((np.full(len(row), 2.0), (row, column)), shape=(dimension, dimension))
        self._alignment = register.alignment
        self._marshall = register.marshall

    def hamiltonian(self, delta: float) -> scipy.sparse.csr_array:
        """The sparse Hamiltonian at anisotropy ``delta``, shape ``[dim, dim]``."""
        return (self._exchange + scipy.sparse.diags_array(delta * self._alignment)).tocsr()

    def ground_state(self, delta: float) -> tuple[float, NDArray[np.float64]]:
        """Energy and normalised amplitudes on :attr:`basis`, the largest component positive.

        Components that tie for the largest (up to rounding) are told apart by the lowest basis index.
        """
        if delta <= -1.0:
            raise ValueError(f"delta must be above -1, where the ground state is unique; got {delta}")
        energy, vector = lowest_eigenpair(self.hamiltonian(delta), self._marshall)
        return energy, vector * leading_sign(vector)


def lowest_eigenpair(matrix: scipy.sparse.csr_array, start: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """The lowest eigenvalue of a symmetric matrix and its unit eigenvector; its sign is the solver's.

    Args:
        matrix: ``[n, n]``; small ones are diagonalised densely.
        start: where Lanczos iteration starts, ``[n]``.
    """
    if matrix.shape[0] < DENSE_BELOW:
        values, vectors = scipy.linalg.eigh(matrix.toarray(), subset_by_index=[0, 0])
    else:
        values, vectors = scipy.sparse.linalg.eigsh(matrix, k=1, which="SA", v0=start)
    return float(values[0]), vectors[:, 0] / np.linalg.norm(vectors[:, 0])


def leading_sign(vector: NDArray[np.float64]) -> float:
    """The sign of the largest component; ties (up to rounding) are told apart by the lowest index."""
    magnitude = np.abs(vector)
    leading = int(np.flatnonzero(magnitude >= magnitude.max() * (1.0 - 1e-6))[0])
    return float(np.sign(vector[leading]))


def ground_states(length: int, deltas: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ground states on the full computational basis.

    Args:
        length: number of spins L, even.
        deltas: anisotropies, each above -1.

    Returns:
        Amplitudes ``[len(deltas), 2^L]`` and energies ``[len(deltas)]``, both float64. States are real, of
        unit norm, with their largest component positive.
    """
    sector = ZeroMagnetizationSector(length)
    states = np.zeros((len(deltas), 2**length))
    energies = np.zeros(len(deltas))
    for row, delta in enumerate(deltas):
        energies[row], states[row, sector.basis] = sector.ground_state(delta)
    return states, energies
