"""Which ground state of an XXZ chain is wanted, and what is known of it once it is found."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

VERSION: Final = 1
"""Of what is computed: incremented when the same state comes to be computed otherwise, so that it is made anew."""

LARGEST_TRUNCATION: Final = 1e-6
"""Of a state that is accepted: the weight that was cut at the worst bond of the last sweep."""

LARGEST_TRUNCATION_OF_INFINITE: Final = 3e-6
"""The same of an infinite chain. At bond dimension 32 it is up to 1.6e-6 in the gapless phase, largest about delta =
-0.15, and energies of a bond are then 2.5e-5 above those of the Bethe ansatz, 3.4e-5 at most for any delta."""

LARGEST_CHANGE: Final = 1e-6
"""Of a state that is accepted: how much of the block's density matrix the last sweep changed, in trace norm."""

LARGEST_CHANGE_OF_INFINITE: Final = 1e-4
"""The same of an infinite chain, for the last twenty sweeps; its finite bond dimension errs by about as much."""


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A ground state of H = sum_i (X_i X_{i+1} + Y_i Y_{i+1} + delta Z_i Z_{i+1}).

    Args:
        length: number of spins, even; None for an infinite chain.
        periodic: a ring, else an open chain.
        delta: anisotropy.
        sites: number k of neighbours whose density matrix is kept: the last k of an open chain, any of others.
        bond_dimension: the largest.
        broken: whether symmetries may be broken; else the density matrix is averaged over them.
    """

    length: int | None
    periodic: bool
    delta: float
    sites: int
    bond_dimension: int
    broken: bool

    @property
    def largest_truncation(self) -> float:
        """So much weight may be cut."""
        return LARGEST_TRUNCATION_OF_INFINITE if self.length is None else LARGEST_TRUNCATION

    @property
    def largest_change(self) -> float:
        """By so much the last sweeps may change the block's density matrix, in trace norm."""
        return LARGEST_CHANGE_OF_INFINITE if self.length is None else LARGEST_CHANGE

    @property
    def key(self) -> str:
        """What the state is kept under."""
        text = json.dumps([VERSION, dataclasses.asdict(self)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """A ground state.

    Args:
        pauli: tr(rho P) of all Pauli strings on the block, the first site first, ``[4^k]``.
        energy: of the chain; of an infinite one per site.
        truncation_error: the weight of the states that were cut, at the worst bond of the last sweep.
        bond_dimension: the largest that was used.
        change: trace norm of what the last sweep changed in the block's density matrix, a bound for every Pauli string.
        asymmetry: trace norm of what the average over the symmetries changed in it.
        sweeps: how many there were.
    """

    pauli: NDArray[np.float64]
    energy: float
    truncation_error: float
    bond_dimension: int
    change: float
    asymmetry: float
    sweeps: int

    def converged(self, wanted: Wanted) -> bool:
        """Whether the state is accepted as the one that was wanted."""
        finite = bool(np.isfinite(self.pauli).all()) and bool(np.isfinite(self.energy))
        return finite and self.truncation_error <= wanted.largest_truncation and self.change <= wanted.largest_change

    def as_arrays(self) -> dict[str, Any]:
        """For a file."""
        return dataclasses.asdict(self)
