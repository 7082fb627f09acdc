"""Exact ground states of the periodic XXZ chain by sparse Lanczos in the zero-magnetisation sector."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.linalg
import scipy.sparse
import scipy.sparse.linalg
from numpy.typing import NDArray

_DENSE_BELOW = 64
"""Sectors smaller than this are diagonalised densely; Lanczos needs room for its subspace."""


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
        every = np.arange(2**length, dtype=np.int64)
        self.basis: NDArray[np.int64] = every[np.bitwise_count(every) == length // 2]
        dimension = len(self.basis)
        rows, columns = [], []
        alignment = np.zeros(dimension)
        for site in range(length):
            bit, neighbour = 1 << site, 1 << ((site + 1) % length)
            differ = ((self.basis & bit) > 0) != ((self.basis & neighbour) > 0)
            alignment += np.where(differ, -1.0, 1.0)
            # X X + Y Y exchanges two opposite spins with amplitude 2.
            flipped = self.basis[differ] ^ (bit | neighbour)
            rows.append(np.flatnonzero(differ))
            columns.append(np.searchsorted(self.basis, flipped))
        row, column = np.concatenate(rows), np.concatenate(columns)
        self._exchange = scipy.sparse.csr_array((np.full(len(row), 2.0), (row, column)), shape=(dimension, dimension))
        self._alignment = alignment
        odd_sites = sum(1 << site for site in range(1, length, 2))
        self._marshall = 1.0 - 2.0 * (np.bitwise_count(self.basis & odd_sites) % 2)

    def hamiltonian(self, delta: float) -> scipy.sparse.csr_array:
        """The sparse Hamiltonian at anisotropy ``delta``, shape ``[dim, dim]``."""
        return (self._exchange + scipy.sparse.diags_array(delta * self._alignment)).tocsr()

    def ground_state(self, delta: float) -> tuple[float, NDArray[np.float64]]:
        """Energy and normalised amplitudes on :attr:`basis`, the largest component positive.

        Components that tie for the largest (up to rounding) are told apart by the lowest basis index.
        """
        if delta <= -1.0:
            raise ValueError(f"delta must be above -1, where the ground state is unique; got {delta}")
        hamiltonian = self.hamiltonian(delta)
        if len(self.basis) < _DENSE_BELOW:
            energies, vectors = scipy.linalg.eigh(hamiltonian.toarray(), subset_by_index=[0, 0])
        else:
            energies, vectors = scipy.sparse.linalg.eigsh(hamiltonian, k=1, which="SA", v0=self._marshall)
        vector = vectors[:, 0] / np.linalg.norm(vectors[:, 0])
        magnitude = np.abs(vector)
        leading = int(np.flatnonzero(magnitude >= magnitude.max() * (1.0 - 1e-6))[0])
        return float(energies[0]), vector * np.sign(vector[leading])


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
