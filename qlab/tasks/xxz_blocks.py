"""Density matrices of a block of an XXZ chain beyond exact diagonalisation, as the features of a task."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Final

import annotated_types as at
import torch
from torch import Tensor

from qlab.circuits.blocks import Block
from qlab.errors import ConfigError
from qlab.tasks.chain_blocks import Where, block_of, check_block, in_order_of
from qlab.tasks.dmrg.finding import chain_of, check_extra, ground_states
from qlab.tasks.dmrg.states import Wanted

LONGEST: Final = 512

BondDimension = Annotated[int, at.Interval(ge=2, le=4096)]

_OPEN, _RING, _INFINITE = 64, 256, 32
"""Bond dimensions at which truncation errors are about 1e-9 for open chains of 64 spins, 1e-7 for rings, and 5e-7 for
infinite chains, of which iterations with larger ones may go astray."""


@dataclasses.dataclass(frozen=True)
class Blocks:
    """What a task says of its chain and of the block that it hands over; see :class:`qlab.tasks.XXZ`.

    Args:
        length: None for an infinite chain.
        periodic: whether a finite one is a ring.
        sites: of the block.
        where: the block lies.
        bond_dimension: None for one that suits most chains.
        broken: whether symmetries may be broken.
    """

    length: int | None
    periodic: bool
    sites: int
    where: Where
    bond_dimension: int | None
    broken: bool

    @property
    def block(self) -> Block:
        """The sites of the block."""
        return block_of(self.length, self.sites, self.where)

    def check(self, deltas: Sequence[float]) -> None:
        """Refuses what cannot be, before anything is computed.

        Raises:
            ConfigError: the block does not fit, the bond dimension cannot do, or TeNPy is not here and states are not
                kept.
        """
        check_block("XXZ", self.length, self.sites, self.where, periodic=self.periodic)
        least = self.least_bond_dimension
        if self.bond_dimension is not None and self.bond_dimension < least:
            raise ConfigError(
                f"XXZ: bond_dimension: got {self.bond_dimension} for {chain_of(self.wanted(0.0))}, accepts at least "
                f'{least}: with less DMRG cannot converge. Leave it out, or take "auto".'
            )
        check_extra([self.wanted(delta) for delta in deltas])

    @property
    def least_bond_dimension(self) -> int:
        """Below it truncation errors exceed what is accepted: measured at delta = 0.9."""
        if self.length is None:
            return 24
        exact = 2 ** min(self.length // 2, 30)
        return int(min(exact, 128 if self.length > 48 else 48) if self.periodic else min(exact, 16))

    def wanted(self, delta: float) -> Wanted:
        """The ground state at an anisotropy."""
        periodic = self.periodic or self.length is None
        suited = _INFINITE if self.length is None else _RING if self.periodic else _OPEN
        return Wanted(self.length, periodic, delta, self.sites, self.bond_dimension or suited, self.broken)

    def states(self, deltas: Sequence[float]) -> tuple[Tensor, dict[str, Tensor]]:
        """Density matrices ``[N, 4^k]``, and what is known of each state.

        Raises:
            DataError: some did not converge, or cannot be kept.
        """
        found = ground_states([self.wanted(delta) for delta in deltas])
        x = in_order_of(self.block, self.where, torch.stack([torch.from_numpy(item.pauli) for item in found]))
        about = {
            "delta": list(deltas),
            "energy": [item.energy for item in found],
            "truncation_error": [item.truncation_error for item in found],
            "bond_dimension": [float(item.bond_dimension) for item in found],
        }
        return x, {name: torch.tensor(values, dtype=torch.float64) for name, values in about.items()}
