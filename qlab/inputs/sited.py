"""Inputs made of some sites of a chain."""

from __future__ import annotations

import copy
from typing import ClassVar, Self

from qlab.circuits.blocks import Block
from qlab.inputs.base import InputMap
from qlab.inputs.sites import Sites, chain_length, checked_sites, wires_in_block, wires_of


class SitedInputs(InputMap):
    """Inputs of some sites, whose features are states of a chain, or reduced density matrices of a block of it.

    Args:
        owner: the name of the model's class, for messages.
        sites: see :data:`qlab.inputs.Sites`.
    """

    sited: ClassVar[bool] = True

    def __init__(self, owner: str, sites: Sites) -> None:
        super().__init__(owner)
        self.sites = checked_sites(owner, sites)
        self.block: Block | None = None

    def on(self, block: Block | None) -> Self:
        """See the base class: the partial trace over the other sites of the block."""
        found = copy.copy(self)
        found.block = block
        if block is not None:
            wires_in_block(self.owner, self.sites, block)
        return found

    def check(self, dimension: int, is_complex: bool) -> None:
        """See the base class."""
        self.wires(dimension)

    def wires(self, dimension: int) -> tuple[int, ...]:
        """The sites in a chain of 2^L = ``dimension`` amplitudes, or of a block's, ascending.

        Raises:
            DataError: it is none, or does not have them.
        """
        if self.block is not None:
            self.block.check_width(self.owner, dimension)
            return wires_in_block(self.owner, self.sites, self.block)
        return wires_of(self.owner, self.sites, chain_length(self.owner, self.name, dimension))
